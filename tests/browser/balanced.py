"""HAProxy before gateways, as in a local cluster, so that a page comes back on another one under the same address."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from cluster.embedded.haproxy import Balancer, Slot, find_haproxy
from cluster.process.launch import start_async
from cluster.process.ports import free_port, is_listening
from tests.gateways import Gateway

_SECONDS = 20.0


@contextlib.asynccontextmanager
async def balanced(gateways: Sequence[Gateway], folder: Path) -> AsyncIterator[str]:
    """The address under which HAProxy leads to whichever gateways are ready."""
    port = free_port()
    slots = {number: Slot(gateway.port, "ready") for number, gateway in enumerate(gateways, 1)}
    binary = find_haproxy()
    assert binary is not None
    balancer = Balancer(binary, folder, f"127.0.0.1:{port}", lambda: slots, open_files=1024, drain_seconds=5)
    process = await start_async(balancer.launch(), folder / "haproxy.log")
    try:
        async with asyncio.timeout(_SECONDS):
            while not await asyncio.to_thread(is_listening, "127.0.0.1", port):  # noqa: ASYNC110 - a process
                await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        await process.wait()
