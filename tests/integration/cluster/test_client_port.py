"""`ready` is said after a request through the port for clients succeeded: a small server stands for the balancer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from cluster.process.ports import free_port
from cluster.supervisor.client_port import ClientPort
from cluster.supervisor.errors import StartError
from cluster.supervisor.health_loop import HealthLoop
from cluster.supervisor.probes import GatewayMonitor, WorkerMonitor
from gateway.settings import Settings

UNAVAILABLE = b'{"success":false,"error":{"code":"unavailable","message":"No gateway is ready."}}'


class Door:
    """A server on the port for clients, which answers every request as it is told."""

    def __init__(self) -> None:
        self.is_ready = False
        self.said: list[str] = []

    async def listen(self) -> None:
        """Start serving."""
        self.server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head, body = (b"200 OK", b"{}") if self.is_ready else (b"503 Service Unavailable", UNAVAILABLE)
        writer.write(b"HTTP/1.1 %b\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (head, len(body), body))
        writer.close()


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    opened = Door()
    await opened.listen()
    yield opened
    opened.server.close()


@contextlib.asynccontextmanager
async def looking(port: ClientPort, ready_seconds: float) -> AsyncIterator[HealthLoop]:
    """A health loop without replicas."""
    workers = WorkerMonitor("redis://127.0.0.1:1/0", Settings().keys)
    loop = HealthLoop(asyncio.Event(), GatewayMonitor(str), workers, port, port_report, ready_seconds=ready_seconds)
    running = asyncio.create_task(loop.run())
    try:
        yield loop
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await loop.close()


def port_report(_: str) -> None:
    """Nobody listens."""


async def test_nothing_is_settled_while_clients_are_refused(door: Door) -> None:
    """All replicas are ready and the port refuses: the start waits, and ends once a request has succeeded."""
    async with looking(ClientPort(door.url, door.said.append), ready_seconds=30) as loop:
        settling = asyncio.create_task(loop.settle([]))
        await loop.look()
        await loop.look()
        assert not settling.done()
        door.is_ready = True
        await settling


async def test_a_port_that_never_serves_fails_the_start_with_the_reason(door: Door) -> None:
    """When time is over, the error names the address and what it answered."""
    async with looking(ClientPort(door.url, door.said.append), ready_seconds=0) as loop:
        with pytest.raises(StartError, match=f"{door.url} serves no client: /ready answered 503: No gateway is ready"):
            await loop.settle([])


async def test_a_port_without_a_listener_is_a_problem() -> None:
    """When nothing listens, the problem says that the connection failed."""
    port = ClientPort(f"http://127.0.0.1:{free_port()}", port_report)
    await port.look()
    assert "connection" in str(port.problem).lower()
    await port.close()


async def test_the_end_and_the_return_of_service_are_reported_once(door: Door) -> None:
    """A start says nothing; later, each change is one line."""
    port = ClientPort(door.url, door.said.append)
    for door.is_ready in (False, True, True, False, False, True):
        await port.look()
    await port.close()
    assert door.said == [
        f"{door.url} serves clients no longer: /ready answered 503: No gateway is ready.",
        f"{door.url} serves clients",
    ]
