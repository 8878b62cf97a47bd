"""Free loopback ports for processes that are about to start."""

import random
import socket
from pathlib import Path

from cluster.process.addresses import reachable

_RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 10_240


def free_port(avoid: frozenset[int] = frozenset()) -> int:
    """A loopback port without a listener, below the range that outgoing connections use.

    An outgoing connection could take a port of that range while the process that listens there is restarted.
    """
    for _ in range(1000):
        port = random.randrange(_LOWEST, _first_ephemeral())  # noqa: S311 - nothing to guess
        if port not in avoid and is_free(port):
            return port
    raise OSError("no free loopback port was found")


def is_free(port: int, host: str | None = "127.0.0.1") -> bool:
    """Whether a server could listen on this port of this address, None for every address of both families, now."""
    for family, kind, protocol, _, address in socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    ):
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
                # Two sockets that both reuse addresses may bind the same port; only one may listen.
                probe.listen(1)
            except OSError:
                return False
    return True


def is_listening(host: str, port: int) -> bool:
    """Whether a server accepts connections there; for a server on any address, loopback is tried."""
    return any(_accepts(one, port) for one in ((reachable(host), "::1") if host == "::" else (reachable(host),)))


def _accepts(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def _first_ephemeral() -> int:
    """The lowest port that the system gives to outgoing connections."""
    try:
        lowest = int(_RANGE_FILE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        lowest = 32_768
    return lowest if lowest > 2 * _LOWEST else 32_768
