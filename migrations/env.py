"""Runs the migrations: online through asyncpg, or offline as SQL text (`alembic upgrade head --sql`).

The URL comes from whoever calls (`config.attributes["database_url"]`), else from `alembic -x url=…`, else from
DATABASE_URL.
"""

import asyncio
import os

from alembic import context
from sqlalchemy import Connection, text

from persistence.engine import create_engine, driver_url
from persistence.tables import Table

# An arbitrary number, always the same: two processes that migrate at once wait for each other.
_ADVISORY_LOCK = 7_325_263
# Long enough to build an index over millions of rows.
_TIMEOUT_SECONDS = 3600


def _database_url() -> str:
    given = context.config.attributes.get("database_url") or context.get_x_argument(as_dictionary=True).get("url")
    url = given or os.environ.get("DATABASE_URL")
    if not url:
        raise SystemExit("no database: pass `-x url=postgresql://…` or set DATABASE_URL")
    return str(url)


def _migrate(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Table.metadata, compare_server_default=True)
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _ADVISORY_LOCK})
        context.run_migrations()


async def _run_online() -> None:
    engine = create_engine(_database_url(), pool_size=1, max_overflow=0, timeout_seconds=_TIMEOUT_SECONDS)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_migrate)
    finally:
        await engine.dispose()


def _run_offline() -> None:
    context.configure(url=driver_url(_database_url()), target_metadata=Table.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    _run_offline()
else:
    asyncio.run(_run_online())
