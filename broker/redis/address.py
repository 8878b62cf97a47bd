"""Where a Redis URL leads: host and port or a Unix socket, TLS, credentials and database."""

import ssl
from typing import Any

import msgspec
from redis.asyncio.connection import SSLConnection, parse_url

from broker.secrecy import concealed

_DEFAULT_USER = "default"


class Address(msgspec.Struct, frozen=True):
    """A URL of Redis in parts. `path` is a Unix socket, and empty for TCP; `tls` is None without TLS."""

    host: str = "localhost"
    port: int = 6379
    path: str = ""
    tls: ssl.SSLContext | None = None
    username: str = _DEFAULT_USER
    password: str | None = None
    database: int = 0

    def __repr__(self) -> str:
        return concealed(self, "password")


def parse(url: str) -> Address:
    """Read `redis://`, `rediss://` and `unix://` URLs with the options of redis-py (`db`, `ssl_ca_certs` and so on).

    Raises ValueError for any other URL, and OSError when a file that an `ssl_` option names can't be read.
    """
    options: dict[str, Any] = dict(parse_url(url))
    return Address(
        options.get("host", "localhost"),
        options.get("port", 6379),
        options.get("path", ""),
        _tls(options) if options.get("connection_class") is SSLConnection else None,
        options.get("username", _DEFAULT_USER),
        options.get("password"),
        options.get("db", 0),
    )


def database_of(url: str) -> int:
    """The number of the database that the URL leads to. Raises ValueError as `parse` does."""
    options: dict[str, Any] = dict(parse_url(url))
    return int(options.get("db", 0))


def _tls(options: dict[str, Any]) -> ssl.SSLContext:
    # redis-py reads the options; its connection is never used.
    settings = {name: value for name, value in options.items() if name.startswith("ssl_")}
    return SSLConnection(**settings).ssl_context.get()
