"""The migrations, applied through Alembic's Python interface: an installed `seance` has no configuration file."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict, TypeVar, Unpack

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, text

import migrations
from persistence.address import Pooler
from persistence.engine import create_engine
from persistence.errors import PersistenceError, mapped
from persistence.schema import VERSION_TABLE, Holdings, look

HEAD = "head"
_TIMEOUT_SECONDS = 10.0

Result = TypeVar("Result")


class Place(TypedDict, total=False):
    """DATABASE_SCHEMA, DATABASE_POOLER, and the longest wait for a connection."""

    schema: str
    pooler: Pooler
    connect_seconds: float


class MigrationError(Exception):
    """The database can't be reached or migrated; the message says why."""


def upgrade(database_url: str, revision: str = HEAD, **place: Unpack[Place]) -> None:
    """Bring the database up to `revision`, the newest by default. Raises MigrationError."""
    with _explained():
        command.upgrade(config(database_url, **place), revision)


def downgrade(database_url: str, revision: str, **place: Unpack[Place]) -> None:
    """Take the database back to `revision`; `base` removes everything, `-1` the newest. Raises MigrationError."""
    with _explained():
        command.downgrade(config(database_url, **place), revision)


def current(database_url: str, **place: Unpack[Place]) -> str | None:
    """The revision of the database, None before the first. Raises MigrationError."""
    with _explained():
        return asyncio.run(read_revision(database_url, **place))


def session_count(database_url: str, **place: Unpack[Place]) -> int:
    """How many sessions a downgrade may cost. Raises MigrationError."""
    with _explained():
        return asyncio.run(_read(database_url, _session_count, **place))


def holdings(database_url: str, **place: Unpack[Place]) -> Holdings:
    """Whose tables the schema holds. Raises MigrationError."""
    with _explained():
        return asyncio.run(_read(database_url, look, **place))


async def read_revision(database_url: str, **place: Unpack[Place]) -> str | None:
    """The revision of the database, for callers in an event loop. Raises PersistenceError."""
    return await _read(database_url, _revision, **place)


def head() -> str | None:
    """The newest revision of this version of the project."""
    return ScriptDirectory.from_config(config("")).get_current_head()


def config(database_url: str, **place: Unpack[Place]) -> Config:
    """Alembic's configuration; the URL travels as an attribute, since ini values would need `%` escaped."""
    settings = Config()
    settings.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    settings.attributes |= {
        "database_url": database_url,
        **{f"database_{name}": value for name, value in place.items()},
    }
    return settings


async def _read(database_url: str, ask: Callable[[Connection], Result], **place: Unpack[Place]) -> Result:
    engine = create_engine(database_url, **place, pool_size=1, max_overflow=0, timeout_seconds=_TIMEOUT_SECONDS)
    try:
        with mapped():
            async with engine.connect() as connection:
                return await connection.run_sync(ask)
    finally:
        await engine.dispose()


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()


def _session_count(connection: Connection) -> int:
    if connection.execute(text("SELECT to_regclass('sessions')")).scalar_one() is None:
        return 0
    return int(connection.execute(text("SELECT count(*) FROM sessions")).scalar_one())


@contextmanager
def _explained() -> Iterator[None]:
    try:
        with mapped():
            yield
    except CommandError as error:
        raise MigrationError(f"Alembic: {error}") from error
    except PersistenceError as error:
        raise MigrationError(f"Postgres: {error}") from error
