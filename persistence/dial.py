"""Opens a connection to Postgres: each host in turn, TLS, keepalives, and a server that takes writes."""

import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias
from urllib.parse import urlencode

import asyncpg

from persistence.address import Address
from persistence.errors import DatabaseUnavailableError

Connection: TypeAlias = "asyncpg.Connection[Any]"

# Migrations may run for an hour, but a host that does not answer is told before.
_LONGEST_DIAL_SECONDS = 30
STATEMENT_CACHE = 100
_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
_SOCKET_OPTIONS = {
    "keepalives_idle": "TCP_KEEPIDLE",
    "keepalives_interval": "TCP_KEEPINTVL",
    "keepalives_count": "TCP_KEEPCNT",
    "tcp_user_timeout": "TCP_USER_TIMEOUT",
}


async def dial(
    address: Address,
    *,
    timeout_seconds: float,
    connect_seconds: float | None = None,
    server_settings: Mapping[str, str] | None = None,
    has_statement_cache: bool = True,
    connection_class: type[Connection] = asyncpg.Connection,
) -> Connection:
    """A connection to the first host that answers and, where the address asks for that, takes writes.

    The hosts share `timeout_seconds`, or `connect_seconds` when that is less; `timeout_seconds` bounds each query too.
    Raises what asyncpg raises, OSError, and DatabaseUnavailableError.
    """
    hosts = address.hosts or ((None, None),)
    longest = min(address.connect_seconds or _LONGEST_DIAL_SECONDS, connect_seconds or _LONGEST_DIAL_SECONDS)
    limit = min(timeout_seconds, longest) / len(hosts)
    arguments: dict[str, Any] = {
        "user": address.user,
        "password": address.password,
        "database": address.database,
        "passfile": address.passfile,
        "timeout": limit,
        "command_timeout": timeout_seconds,
        "server_settings": {**address.server_settings, **(server_settings or {})},
        "connection_class": connection_class,
        "statement_cache_size": STATEMENT_CACHE if has_statement_cache else 0,
        # Asked below instead: asyncpg's own question would go astray behind a pooler of transactions.
        "target_session_attrs": "any",
        **_security(address.tls),
    }
    problem: Exception
    for host, port in hosts:
        try:
            connection: Connection = await asyncpg.connect(host=host, port=port, **arguments)
        except (OSError, asyncpg.CannotConnectNowError) as error:
            problem = error
            continue
        with terminated_on_error(connection):
            is_good = not address.needs_writable or await _takes_writes(connection)
        if not is_good:
            connection.terminate()
            problem = DatabaseUnavailableError("no host of DATABASE_URL takes writes")
            continue
        _keep_alive(connection, address.keepalives)
        return connection
    raise problem


async def ask(connection: Connection, query: str) -> Any:
    """The one value that a query answers.

    In a transaction and without a name for the statement, so that the query is safe behind any pooler.
    """
    async with connection.transaction():
        statement = await connection.prepare(query, name="")
        return await statement.fetchval()


@contextmanager
def terminated_on_error(connection: Connection) -> Iterator[None]:
    """Close a connection that nobody gets, because setting it up failed or was cancelled."""
    try:
        yield
    except BaseException:
        connection.terminate()
        raise


async def _takes_writes(connection: Connection) -> bool:
    return bool(await ask(connection, "SELECT current_setting('transaction_read_only') = 'off'"))


def _security(tls: Mapping[str, str]) -> dict[str, Any]:
    """The arguments of asyncpg that hold the parameters of TLS. Raises OSError for a file that can't be read."""
    for name in _FILES:
        path = tls.get(name, "system" if name == "sslrootcert" else "")
        if path not in {"", "system"} and not os.access(path, os.R_OK):
            raise FileNotFoundError(f"the file that DATABASE_URL names as `{name}` can't be read: {path}")
    if tls.get("sslrootcert") != "system":
        # asyncpg reads these only from a URL, which holds nothing else.
        return {"dsn": f"postgresql://?{urlencode(tls)}"} if tls else {}
    context = ssl.create_default_context()
    if "sslcert" in tls:
        context.load_cert_chain(tls["sslcert"], tls.get("sslkey"), tls.get("sslpassword"))
    return {"ssl": context, "direct_tls": tls.get("sslnegotiation") == "direct"}


def _keep_alive(connection: Connection, keepalives: Mapping[str, int]) -> None:
    if not keepalives or not keepalives.get("keepalives", 1):
        return
    transport: Any = connection._transport  # type: ignore[attr-defined] # noqa: SLF001 - asyncpg has no other way to it
    given = transport.get_extra_info("socket")
    if given is None or given.family == socket.AF_UNIX:
        return
    # uvloop's socket can't be set; a second descriptor of the same socket can.
    with socket.socket(given.family, given.type, fileno=os.dup(given.fileno())) as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, option in _SOCKET_OPTIONS.items():
            if keepalives.get(name) and hasattr(socket, option):
                own.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), keepalives[name])
