"""Free ports."""

import socket

from cluster.process.ports import free_port, is_free, is_listening


def test_a_free_port_is_free_and_not_avoided() -> None:
    """Somebody can listen on it, and it is none of those to avoid."""
    first = free_port()
    assert is_free(first)
    assert first != free_port(avoid=frozenset({first}))


def test_a_taken_port_is_not_free() -> None:
    """A port that somebody listens on is taken, by every address of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
        assert is_listening("127.0.0.1", port)
        assert is_listening("0.0.0.0", port)  # noqa: S104 - asked, not bound
    assert is_free(port)
    assert not is_listening("127.0.0.1", port)
