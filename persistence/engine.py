"""Makes the engine: its pool, its timeouts, and the way to the database."""

from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from persistence.address import AddressError, Pooler, parse
from persistence.connections import drop_spent
from persistence.errors import InvalidFieldError
from persistence.pooler import Connector


def create_engine(
    url: str,
    *,
    pool_size: int,
    max_overflow: int,
    timeout_seconds: float,
    schema: str = "",
    pooler: Pooler = "auto",
    connect_seconds: float | None = None,
) -> AsyncEngine:
    """An engine that connects when it is first used; the caller disposes of it.

    `timeout_seconds` bounds each of: waiting for a connection of the pool, connecting, one query;
    `connect_seconds` shortens connecting. The tables are in `schema`, or where the role's own search path leads when
    that is empty. Raises InvalidFieldError when `url` can't be honoured.
    """
    try:
        address = parse(url)
    except AddressError as error:
        raise InvalidFieldError("database_url", str(error)) from error
    connector = Connector(
        address, schema=schema, pooler=pooler, timeout_seconds=timeout_seconds, connect_seconds=connect_seconds
    )
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connector.open,
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_timeout=timeout_seconds,
        # Replaces a connection that Postgres closed meanwhile, as in a restart.
        pool_pre_ping=True,
        # Otherwise errors of SQLAlchemy quote the values of a query: texts and password hashes.
        hide_parameters=True,
    )
    drop_spent(engine)
    return engine
