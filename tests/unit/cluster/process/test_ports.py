"""Free ports."""

import socket

from cluster.process.ports import free_port, is_free, is_listening


def test_free_port_returns_a_free_port_that_is_not_avoided() -> None:
    """A server can listen on the returned port, and the port is none of those to avoid."""
    first = free_port()
    assert is_free(first)
    assert first != free_port(avoid=frozenset({first}))


def test_a_port_with_a_listener_is_not_free() -> None:
    """A port with a listener is taken, whichever address of this machine is asked."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
        assert is_listening("127.0.0.1", port)
        assert is_listening("0.0.0.0", port)  # noqa: S104 - asked, not bound
    assert is_free(port)
    assert not is_listening("127.0.0.1", port)
