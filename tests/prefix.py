"""A reverse proxy that serves a gateway below a path of its own, which it removes, as nginx, Traefik and HAProxy do."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

from cluster.embedded.haproxy import find_haproxy
from cluster.process.launch import Launch
from cluster.process.ports import free_port
from tests.haproxy import started

PREFIX = "/realtime"
_CONFIGURATION = """
global
    maxconn 100
defaults
    mode http
    timeout connect 2s
    timeout client 20s
    timeout server 20s
    timeout tunnel 1h
frontend everything
    bind 127.0.0.1:{port}
    http-request return status 404 content-type text/plain string "another service" unless {{ path_beg {prefix}/ }}
    http-request replace-path {prefix}(/.*) \\1
    default_backend gateway
backend gateway
    server gateway {address}
"""


@contextlib.asynccontextmanager
async def below_a_path(url: str, folder: Path) -> AsyncIterator[str]:
    """The address of the gateway behind the proxy; every other path of the proxy is another service's."""
    port = free_port()
    binary = find_haproxy()
    assert binary is not None
    address = urlsplit(url).netloc
    (folder / "proxy.cfg").write_text(_CONFIGURATION.format(port=port, prefix=PREFIX, address=address))
    argv = (str(binary), "-db", "-f", "proxy.cfg")
    process = await started(Launch(name="proxy", argv=argv, folder=folder), folder / "proxy.log", port)
    try:
        yield f"http://127.0.0.1:{port}{PREFIX}"
    finally:
        process.kill()
        await process.wait()
