"""Opening a connection to a real Postgres: several hosts, TLS, keepalives, and what the URL says to the server."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cluster.embedded.services import probe_postgres, problem_with
from cluster.process.ports import free_port
from persistence.address import parse
from persistence.dial import Connection, ask, dial
from persistence.errors import DatabaseUnavailableError, mapped
from tests.certificates import self_signed
from tests.pgbouncer import needs_pgbouncer, pgbouncer


@pytest.fixture
async def dialled() -> AsyncIterator[Any]:
    """Dials a URL; every connection is closed at the end."""
    connections: list[Connection] = []

    async def dial_url(url: str) -> Connection:
        with mapped():
            connections.append(await dial(parse(url), timeout_seconds=5))
        return connections[-1]

    yield dial_url
    for connection in connections:
        connection.terminate()


async def test_the_next_host_is_tried(database_url: str, dialled: Any) -> None:
    """A host that refuses, and one that never answers, leave the others enough time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        before, _, after = database_url.rpartition("@")
        hosts = f"127.0.0.1:{free_port()},127.0.0.1:{silent.getsockname()[1]},{after}"
        assert await ask(await dialled(f"{before}@{hosts}?connect_timeout=1"), "SELECT 1") == 1


async def test_a_server_that_takes_no_writes_is_left_out(database_url: str, dialled: Any) -> None:
    """With `target_session_attrs=read-write`, or several hosts, a standby is no use."""
    read_only = f"{database_url}?options=-c%20default_transaction_read_only%3Don"
    await dialled(read_only)
    with pytest.raises(DatabaseUnavailableError, match="no host of DATABASE_URL takes writes"):
        await dialled(f"{read_only}&target_session_attrs=read-write")


async def test_the_server_hears_what_the_url_says(database_url: str, dialled: Any) -> None:
    """The name of the application and the options arrive."""
    url = f"{database_url}?application_name=the%20gateway&options=-c%20search_path%3Dother%20-c%20work_mem%3D8MB"
    connection = await dialled(url)
    assert await ask(connection, "SHOW application_name") == "the gateway"
    assert await ask(connection, "SHOW search_path") == "other"
    assert await ask(connection, "SHOW work_mem") == "8MB"


async def test_keepalives_are_set_on_the_socket(database_url: str, dialled: Any) -> None:
    """What libpq would set on the socket is set; without such a parameter the system's values stay."""
    url = f"{database_url}?keepalives_idle=31&keepalives_interval=7&keepalives_count=4&tcp_user_timeout=9000"
    own = (await dialled(url))._transport.get_extra_info("socket")
    assert own.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
    assert [own.getsockopt(socket.IPPROTO_TCP, option) for option in options] == [31, 7, 4, 9000]
    plain = (await dialled(f"{database_url}?keepalives=0&keepalives_idle=31"))._transport.get_extra_info("socket")
    assert plain.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0


def is_encrypted(connection: Connection) -> bool:
    """Whether the bytes of this connection go through TLS."""
    return connection._transport.get_extra_info("ssl_object") is not None  # type: ignore[attr-defined]


@needs_pgbouncer
async def test_tls_as_the_url_demands(database_url: str, tmp_path: Path, dialled: Any) -> None:
    """Each mode of libpq, and a certificate that must be known; a bound channel demands a known certificate too.

    The embedded Postgres has no TLS, so PgBouncer in front of it does that part.
    """
    files = self_signed(tmp_path)
    with pgbouncer(tmp_path, database_url, "session", pool_size=9, certificate=files) as url:
        assert not is_encrypted(await dialled(f"{url}?sslmode=disable"))
        for query in ("sslmode=prefer", "sslmode=require", "ssl=true", f"sslmode=verify-full&sslrootcert={files[0]}"):
            assert is_encrypted(await dialled(f"{url}?{query}")), query
        bound = f"{url}?sslmode=require&channel_binding=require"
        assert is_encrypted(await dialled(f"{bound}&sslrootcert={files[0]}"))
        for unknown in (bound, f"{url}?sslmode=verify-full&sslrootcert=system"):
            with pytest.raises(DatabaseUnavailableError, match=r"(?i)certificate.verify.failed"):
                await dialled(unknown)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("sslmode=require", "rejected SSL upgrade"),
        ("sslmode=verify-full&sslrootcert=/nowhere/ca.pem", "names as `sslrootcert` can't be read: /nowhere/ca.pem"),
    ],
)
async def test_tls_that_cannot_be_had_is_said(database_url: str, query: str, words: str) -> None:
    """The probe of `seance up` says why, as every other command does."""
    assert words in str(await problem_with(lambda: probe_postgres(f"{database_url}?{query}")))


async def test_the_servers_own_reason_is_told(database_url: str) -> None:
    """A wrong password and a database that is not there are told in the server's words, without the password."""
    before, _, after = database_url.rpartition("@")
    wrong = f"postgresql://postgres:hunter2@{after}"
    reason = str(await problem_with(lambda: probe_postgres(wrong)))
    assert "password authentication failed" in reason
    assert "hunter2" not in reason
    missing = f"{before}@{after.partition('/')[0]}/nothing"
    assert 'database "nothing" does not exist' in str(await problem_with(lambda: probe_postgres(missing)))
