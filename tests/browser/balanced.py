"""HAProxy before gateways, as in a local cluster, so that a page comes back on another one under the same address."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from cluster.embedded.haproxy import Balancer, Slot, find_haproxy
from cluster.process.ports import free_port
from tests.gateways import Gateway
from tests.haproxy import started


@contextlib.asynccontextmanager
async def balanced(gateways: Sequence[Gateway], folder: Path) -> AsyncIterator[str]:
    """The address under which HAProxy leads to whichever gateways are ready."""
    port = free_port()
    slots = {number: Slot(gateway.port, "ready") for number, gateway in enumerate(gateways, 1)}
    binary = find_haproxy()
    assert binary is not None
    balancer = Balancer(binary, folder, f"127.0.0.1:{port}", lambda: slots, open_files=1024, drain_seconds=5)
    process = await started(balancer.launch(), folder / "haproxy.log", port)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        await process.wait()
