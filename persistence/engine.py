"""Makes the engine: its pool, its timeouts, and the URL of the database."""

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from persistence.errors import InvalidFieldError

_DRIVER = "postgresql+asyncpg"
_SCHEMES = frozenset({"postgres", "postgresql", _DRIVER})


def create_engine(url: str, *, pool_size: int, max_overflow: int, timeout_seconds: float) -> AsyncEngine:
    """An engine that connects when it is first used; the caller disposes of it.

    `timeout_seconds` bounds each of: waiting for a connection of the pool, connecting, one query. Raises
    InvalidFieldError when `url` is not one of Postgres.
    """
    return create_async_engine(
        driver_url(url),
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_timeout=timeout_seconds,
        # Replaces a connection that Postgres closed meanwhile, as in a restart.
        pool_pre_ping=True,
        connect_args={
            "timeout": timeout_seconds,
            "command_timeout": timeout_seconds,
            # A process that is stopped in the middle of a transaction must not keep its locks for ever.
            "server_settings": {"idle_in_transaction_session_timeout": str(round(timeout_seconds * 1000))},
        },
        # Otherwise errors of SQLAlchemy quote the values of a query: texts and password hashes.
        hide_parameters=True,
    )


def driver_url(url: str) -> URL:
    """`postgres://`, `postgresql://` or `postgresql+asyncpg://` as SQLAlchemy and asyncpg want it.

    libpq's `sslmode` becomes asyncpg's `ssl`, which takes the same values.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as exc:
        raise InvalidFieldError("database_url", "is not a URL") from exc
    if parsed.drivername not in _SCHEMES:
        raise InvalidFieldError("database_url", "must start with postgresql://, postgres:// or postgresql+asyncpg://")
    query = dict(parsed.query)
    if "sslmode" in query:
        query["ssl"] = query.pop("sslmode")
    return parsed.set(drivername=_DRIVER, query=query)
