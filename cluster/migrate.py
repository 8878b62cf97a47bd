"""The migrations, applied through Alembic's Python interface, so that no alembic.ini is needed."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection

import migrations
from persistence.engine import create_engine
from persistence.errors import PersistenceError, mapped

HEAD = "head"
_TIMEOUT_SECONDS = 10.0


class MigrationError(Exception):
    """The database can't be reached or migrated; the message says why."""


def upgrade(database_url: str, revision: str = HEAD) -> None:
    """Bring the database up to `revision`, the newest by default. Raises MigrationError."""
    with _explained():
        command.upgrade(config(database_url), revision)


def downgrade(database_url: str, revision: str) -> None:
    """Take the database back to `revision`; `base` removes everything, `-1` the newest. Raises MigrationError."""
    with _explained():
        command.downgrade(config(database_url), revision)


def current(database_url: str) -> str | None:
    """The revision of the database, None before the first. Raises MigrationError."""
    with _explained():
        return asyncio.run(read_revision(database_url))


async def read_revision(database_url: str) -> str | None:
    """The revision of the database, for callers in an event loop. Raises PersistenceError."""
    engine = create_engine(database_url, pool_size=1, max_overflow=0, timeout_seconds=_TIMEOUT_SECONDS)
    try:
        with mapped():
            async with engine.connect() as connection:
                return await connection.run_sync(_revision)
    finally:
        await engine.dispose()


def head() -> str | None:
    """The newest revision of this version of the project."""
    return ScriptDirectory.from_config(config("")).get_current_head()


def config(database_url: str) -> Config:
    """Alembic's configuration; the URL travels as an attribute, since ini values would need `%` escaped."""
    settings = Config()
    settings.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    settings.attributes["database_url"] = database_url
    return settings


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


@contextmanager
def _explained() -> Iterator[None]:
    try:
        with mapped():
            yield
    except CommandError as error:
        raise MigrationError(f"Alembic: {error}") from error
    except PersistenceError as error:
        raise MigrationError(f"Postgres: {error}") from error
