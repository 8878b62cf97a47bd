"""What broker/redis/connection.py relies on inside redis-py: a change there must be seen here, not in production."""

import inspect

from redis.asyncio.connection import Connection, ConnectionPool, SSLConnection, UnixDomainSocketConnection


def test_a_connection_keeps_its_streams_where_the_wire_looks() -> None:
    """A connection that is not connected has both streams, and they are None."""
    connection = ConnectionPool.from_url("redis://127.0.0.1:1/0").make_connection()  # type: ignore[no-untyped-call]
    assert type(connection) is Connection
    assert (connection._reader, connection._writer) == (None, None)
    assert not connection.is_connected


def test_a_secure_url_dials_with_tls() -> None:
    """A connection of a `rediss` URL keeps its streams in the same places."""
    connection = ConnectionPool.from_url("rediss://127.0.0.1:1/0").make_connection()  # type: ignore[no-untyped-call]
    assert type(connection) is SSLConnection
    assert (connection._reader, connection._writer) == (None, None)


def test_dialling_fills_both_streams() -> None:
    """Whatever is dialled, a TCP address or a socket, asyncio's reader and writer end up there."""
    for kind in (Connection, UnixDomainSocketConnection):
        source = inspect.getsource(kind._connect)
        assert "self._reader = reader" in source
        assert "self._writer = writer" in source


def test_a_connection_without_streams_has_nothing_to_close() -> None:
    """Once the wire has taken the streams away, collecting the connection touches no socket."""
    assert 'getattr(self, "_writer", None)' in inspect.getsource(Connection.__del__)
