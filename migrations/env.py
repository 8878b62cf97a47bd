"""Runs the migrations: online through asyncpg, or offline as SQL text (`alembic upgrade head --sql`).

The database comes from the caller (`config.attributes`), else from `alembic -x url=… -x schema=…`, else from
DATABASE_URL, DATABASE_SCHEMA and DATABASE_POOLER in the environment, else from those in `.env`.
"""

import asyncio
import os
from pathlib import Path
from typing import Any

from alembic import context
from dotenv import dotenv_values
from sqlalchemy import Connection, text

from persistence import schema
from persistence.engine import create_engine
from persistence.tables import Table

# An arbitrary number, always the same: two processes that migrate at once wait for each other.
_ADVISORY_LOCK = 7_325_263
# Long enough to build an index over millions of rows.
_TIMEOUT_SECONDS = 3600


def _given(name: str) -> str:
    """The value of `url`, `schema` or `pooler`; empty when nobody gave one."""
    variable = f"DATABASE_{name.upper()}"
    if context.config.attributes.get("database_url"):
        return str(context.config.attributes.get(variable.lower()) or "")
    arguments = context.get_x_argument(as_dictionary=True)
    return str(arguments.get(name) or os.environ.get(variable) or dotenv_values(Path(".env")).get(variable) or "")


def _configure(**how: Any) -> None:
    context.configure(
        target_metadata=Table.metadata,
        compare_server_default=True,
        version_table=schema.VERSION_TABLE,
        # `alembic check` and `--autogenerate` compare our tables only: others may live beside them.
        include_name=lambda name, kind, _: kind != "table" or name in Table.metadata.tables,
        **how,
    )


def _migrate(connection: Connection) -> None:
    _configure(connection=connection)
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _ADVISORY_LOCK})
        schema.claim(connection, _given("schema"))
        context.run_migrations()


async def _run_online() -> None:
    url = _given("url")
    if not url:
        raise SystemExit("no database: pass `-x url=postgresql://…` or set DATABASE_URL")
    engine = create_engine(
        url,
        schema=_given("schema"),
        pooler=_given("pooler") or "auto",  # type: ignore[arg-type]
        pool_size=1,
        max_overflow=0,
        connect_seconds=context.config.attributes.get("database_connect_seconds"),
        timeout_seconds=_TIMEOUT_SECONDS,
    )
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_migrate)
    finally:
        await engine.dispose()


def _run_offline() -> None:
    _configure(dialect_name="postgresql", literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    _run_offline()
else:
    asyncio.run(_run_online())
