"""How a command reaches the database: the schema, the pooler and the limits that the settings name."""

from sqlalchemy.ext.asyncio import AsyncEngine

from cluster.migrate import Place
from gateway.settings import Settings
from persistence.engine import create_engine


def place(settings: Settings) -> Place:
    """Where the migrations find the tables, and how long they wait for a connection."""
    return {
        "schema": settings.database_schema,
        "pooler": settings.database_pooler,
        "connect_seconds": settings.db_timeout_seconds,
    }


def engine(settings: Settings, database_url: str | None = None) -> AsyncEngine:
    """An engine with one connection, to DATABASE_URL or to another URL; the caller disposes of the engine."""
    return create_engine(
        database_url or settings.database_url,
        **place(settings),
        pool_size=1,
        max_overflow=0,
        timeout_seconds=settings.db_timeout_seconds,
    )
