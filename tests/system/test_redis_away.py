"""Redis is killed under two gateways and comes back with its data: sockets stay, nothing acknowledged is lost."""

import asyncio
import contextlib
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from redis.asyncio import Redis as Client
from websockets.asyncio.client import ClientConnection, connect

from cluster.embedded.services import Service, prepare_redis, wait_until_answering
from cluster.process.launch import start
from tests.gateways import running_gateways
from tests.rest import call, create_session
from tests.services import Services
from tests.waiting import eventually

Json = dict[str, Any]


class Redis:
    """A durable Redis that can be killed and started again on its port."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._service: Service = prepare_redis(folder)
        self._process: subprocess.Popen[bytes] | None = None
        self.url = self._service.url

    async def start(self) -> None:
        """Start Redis, and wait until Redis answers."""
        self._process = process = start(self._service.launch, self._folder / "redis.log")
        await wait_until_answering(self._service, lambda: process.poll() is None)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill -9."""
        assert self._process is not None
        self.signal(signal.SIGKILL)
        self._process.wait()


@contextlib.contextmanager
def redis_in(folder: Path) -> Iterator[Redis]:
    redis = Redis(folder)
    try:
        yield redis
    finally:
        redis.kill()


async def test_sockets_survive_a_killed_redis_that_keeps_its_data(services: Services, tmp_path: Path) -> None:
    """While Redis is away messages get `unavailable`; then the same sockets go on, in order and without a hole."""
    with redis_in(tmp_path) as redis:
        await redis.start()
        own = Services(redis_url=redis.url, database_url=services.database_url)
        with running_gateways(own, tmp_path, 2, log_level="warning") as [first, second]:
            session = await create_session(first.url)
            async with (
                connect(f"ws://127.0.0.1:{first.port}/ws/{session['id']}") as ana,
                connect(f"ws://127.0.0.1:{second.port}/ws/{session['id']}") as ben,
            ):
                await ana.send(json.dumps({"type": "join", "name": "Ana"}))
                await ana.recv()
                await ben.send(json.dumps({"type": "join", "name": "Ben"}))
                await ben.recv()
                await ana.recv()
                before = await say(ana, "before")
                redis.kill()
                refused = await say(ana, "while away")
                assert (refused["type"], refused["data"]["code"]) == ("error", "unavailable")
                assert refused["data"]["retryable"] is True

                async def is_unready() -> bool:
                    return (await call(first.url, "GET", "/ready")).status_code == 503

                await eventually(is_unready)
                assert (await call(first.url, "GET", "/live")).status_code == 200
                await redis.start()
                for gateway in (first, second):
                    await asyncio.to_thread(gateway.wait_ready)
                after = await say(ana, "after")
                assert after["data"]["seq"] == before["data"]["seq"] + 1
                texts = [await message(ben) for _ in range(2)]
    assert texts == [(3, "before"), (4, "after")]


async def test_events_that_a_gateway_did_not_hear_come_from_the_log(services: Services, tmp_path: Path) -> None:
    """The connection of one gateway is cut for a while; its sockets get the missed events from the log, in order."""
    with redis_in(tmp_path) as redis:
        await redis.start()
        own = Services(redis_url=redis.url, database_url=services.database_url)
        with running_gateways(own, tmp_path, 2, log_level="warning") as [first, second]:
            session = await create_session(first.url)
            async with (
                connect(f"ws://127.0.0.1:{first.port}/ws/{session['id']}") as ana,
                connect(f"ws://127.0.0.1:{second.port}/ws/{session['id']}") as ben,
            ):
                await ana.send(json.dumps({"type": "join", "name": "Ana"}))
                await ana.recv()
                await ben.send(json.dumps({"type": "join", "name": "Ben"}))
                await ben.recv()
                for number in range(300):
                    if number % 50 == 10:
                        await cut_link(redis.url, "gw-2")
                    assert (await say(ana, f"{number}"))["type"] == "ack"
                seen = [await message(ben) for _ in range(300)]
    assert seen == [(3 + number, f"{number}") for number in range(300)]


async def say(socket: ClientConnection, text: str) -> Json:
    """Send a message; returns the ack or the error."""
    await socket.send(json.dumps({"type": "message", "id": text, "text": text}))
    while True:
        event: Json = json.loads(await asyncio.wait_for(socket.recv(), 10))
        if event.get("id") == text:
            return event


async def message(socket: ClientConnection) -> tuple[int, str]:
    """The next message, as (seq, text)."""
    while True:
        event = json.loads(await asyncio.wait_for(socket.recv(), 10))
        if event["type"] == "message_received":
            return event["seq"], event["data"]["text"]


async def cut_link(url: str, gateway_id: str) -> None:
    """Cut the connection of a gateway to Redis, if there is one now."""
    async with Client.from_url(url, decode_responses=True) as client:
        for entry in await client.client_list():
            if entry["name"] == f"{gateway_id}-link":
                await client.client_kill_filter(_id=entry["id"])
