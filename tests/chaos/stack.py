"""The processes that the scenarios disturb: own servers, three gateways and two workers, proxies between them."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from cluster import migrate
from tests.chaos.servers import Server, ended, postgres_in, redis_in
from tests.gateways import Gateway, Process, environment_of, own_port
from tests.proxy import Proxy, proxy
from tests.services import Services

GATEWAYS: Final = 3
WORKERS: Final = 2
_READY_SECONDS: Final = 60.0


@dataclass
class Node:
    """A gateway, the proxy that its clients come through, and the one by which it reaches Redis."""

    gateway: Gateway
    front: Proxy
    redis: Proxy

    @property
    def name(self) -> str:
        """The gateway's."""
        return self.gateway.name


@dataclass
class Stack:
    """Everything that runs."""

    redis: Server
    postgres: Server
    nodes: list[Node]
    workers: list[Process]
    database: Proxy
    """What lies between the workers and Postgres."""
    streams: Proxy
    """What lies between the workers and Redis."""

    def redis_proxies(self) -> list[Proxy]:
        """What lies between Redis and each process that uses it."""
        return [self.streams, *(node.redis for node in self.nodes)]

    def doors(self) -> list[int]:
        """The ports that clients connect to."""
        return [node.front.port for node in self.nodes]

    def direct_doors(self) -> list[int]:
        """The same past the proxies."""
        return [node.gateway.port for node in self.nodes]

    def urls(self) -> list[str]:
        """Where the gateways answer REST, past the proxies."""
        return [node.gateway.url for node in self.nodes]

    async def wait_ready(self) -> None:
        """Return once every gateway may get traffic. Raises TimeoutError."""
        async with asyncio.timeout(_READY_SECONDS), httpx.AsyncClient(timeout=2, trust_env=False) as client:
            for url in self.urls():
                while not await _is_ready(client, url):  # noqa: ASYNC110 - it lies in another process
                    await asyncio.sleep(0.05)


async def _is_ready(client: httpx.AsyncClient, url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return (await client.get(f"{url}/ready")).status_code == httpx.codes.OK
    return False


async def kill(process: Process) -> None:
    """Kill -9."""
    process.signal(signal.SIGKILL)
    await asyncio.to_thread(process.wait)


@contextlib.asynccontextmanager
async def running_stack(folder: Path, **settings: object) -> AsyncIterator[Stack]:
    """A stack with these settings (variables in small letters); ended at the end, whatever state it is in then."""
    async with contextlib.AsyncExitStack() as stack:
        redis = stack.enter_context(ended(redis_in(folder)))
        postgres = stack.enter_context(ended(postgres_in(folder)))
        await asyncio.gather(redis.start(), postgres.start())
        with ThreadPoolExecutor(1) as thread:  # Alembic runs a loop of its own
            await asyncio.wrap_future(thread.submit(migrate.upgrade, postgres.url))
        database = await stack.enter_async_context(proxy(postgres.url))
        own = Services(redis.url, postgres.url)
        nodes = [await _node(stack, folder, own, number, settings) for number in range(1, GATEWAYS + 1)]
        streams = await stack.enter_async_context(proxy(redis.url))
        through = Services(streams.url(redis.url), database.url(postgres.url))
        environment = environment_of(through, settings)
        workers = [
            Process(name, ("worker", "--id", name), environment, folder / f"{name}.log")
            for name in (f"worker-{number}" for number in range(1, WORKERS + 1))
        ]
        for worker in workers:
            worker.start()
            stack.push_async_callback(asyncio.to_thread, worker.stop)
        made = Stack(redis, postgres, nodes, workers, database, streams)
        await made.wait_ready()
        yield made


async def _node(
    stack: contextlib.AsyncExitStack,
    folder: Path,
    services: Services,
    number: int,
    settings: dict[str, object],
) -> Node:
    name, port = f"gw-{number}", own_port()
    link = await stack.enter_async_context(proxy(services.redis_url))
    environment = environment_of(Services(link.url(services.redis_url), services.database_url), settings)
    environment["PORT"] = str(port)
    gateway = Gateway(name, ("gateway", "--id", name), environment, folder / f"{name}.log", port=port)
    front = await stack.enter_async_context(proxy(gateway.url))
    gateway.start()
    stack.push_async_callback(asyncio.to_thread, gateway.stop)
    return Node(gateway, front, link)
