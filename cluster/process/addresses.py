"""The addresses that servers of this machine listen on, and those under which the machine reaches its servers."""

LOOPBACK = "127.0.0.1"
ANY_ADDRESS = ("0.0.0.0", "::", "*")  # noqa: S104 - compared, not bound


def reachable(host: str) -> str:
    """The host under which this machine reaches a server that listens on `host`."""
    return LOOPBACK if host in ANY_ADDRESS else host


def bracketed(host: str) -> str:
    """The host as written before a port; IPv6 addresses need brackets."""
    return f"[{host}]" if ":" in host else host
