"""Whether Redis and Postgres belong to one installation: each holds the installation's id, and both must be the same.

Otherwise a copy for tests that was pointed at the Redis of production would hear what production's users say.
"""

from typing import Any

import msgspec
from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from broker.errors import InstallationMismatchError
from broker.keys import Keys
from broker.redis import installation
from broker.redis.link import Link
from persistence.errors import PersistenceError, mapped
from persistence.tables import InstallationRow

REMEDY = (
    "if Redis and database belong together on purpose (a new, restored, moved or upgraded database), stop all gateways "
    "and workers and run `seance adopt`; otherwise correct DATABASE_URL, REDIS_URL or REDIS_PREFIX"
)
# A restored dump has other identifiers than the original. A copy of a server's files has the same ones.
_DATABASE = text(
    "SELECT control.system_identifier || '/' || own.oid FROM pg_control_system() AS control, pg_database AS own"
    " WHERE own.datname = current_database()"
)


class Stored(msgspec.Struct, frozen=True):
    """What the database says: the installation's id, and the database that the id was given to (None: not yet).

    `database` identifies the database that answers; None when Postgres does not tell.
    """

    id: str
    given_to: str | None
    database: str | None

    @property
    def is_copy(self) -> bool:
        """Whether this is a copy of the database that the id was given to."""
        return self.given_to is not None and self.database is not None and self.given_to != self.database


def mismatch(stored: Stored, bound: str, prefix: str) -> str | None:
    """What is wrong when the Redis with this prefix belongs to the installation `bound`; None when both are one."""
    if bound != stored.id:
        return f"Redis (prefix {prefix}) belongs to installation {bound}, the database to installation {stored.id}"
    if stored.is_copy:
        return f"the database was copied from that of installation {bound}, to which Redis (prefix {prefix}) belongs"
    return None


class Bond:
    """The bond between the Redis of a link and the database of an engine.

    Methods raise BrokerUnavailableError, DatabaseUnavailableError, and PersistenceError without the newest migrations.
    """

    def __init__(self, link: Link, keys: Keys, engine: AsyncEngine) -> None:
        self._link = link
        self._keys = keys
        self._engine = engine

    async def check(self) -> None:
        """Bind a Redis that belongs to no installation. Raises InstallationMismatchError when it belongs to another."""
        stored = await read(self._engine)
        bound = await installation.bound_to(self._link, self._keys)
        if bound is None:
            # Redis is new, or has lost everything: nobody can be mixed up with this installation.
            stored = await self._own(stored)
            bound = await installation.bind(self._link, self._keys, stored.id)
        problem = mismatch(stored, bound, self._keys.prefix)
        if problem is not None:
            raise InstallationMismatchError(f"{problem}: {REMEDY}")
        if stored.given_to is None:
            await self._own(stored)

    async def adopt(self) -> str:
        """Bind Redis and database to each other, whatever they belonged to; returns the id of the installation."""
        with mapped():
            async with self._engine.begin() as connection:
                await connection.execute(postgres_insert(InstallationRow).on_conflict_do_nothing())
        stored = await self._own(await read(self._engine))
        await installation.rebind(self._link, self._keys, stored.id)
        return stored.id

    async def _own(self, stored: Stored) -> Stored:
        """Give the id to this database; a copy gets an id of its own."""
        if stored.given_to == stored.database:
            return stored
        values: dict[str, Any] = {"database": stored.database}
        if stored.is_copy:
            values["id"] = func.gen_random_uuid()
        # When another process was faster, nothing changes any more.
        unchanged = InstallationRow.database.is_not_distinct_from(stored.given_to)
        with mapped():
            async with self._engine.begin() as connection:
                await connection.execute(update(InstallationRow).where(unchanged).values(values))
        return await read(self._engine)


async def read(engine: AsyncEngine) -> Stored:
    """What the database says. Raises PersistenceError."""
    with mapped():
        async with engine.connect() as connection:
            row = (await connection.execute(select(InstallationRow.id, InstallationRow.database))).one_or_none()
            database = await _database(connection)
    if row is None:
        raise PersistenceError("the database names no installation: run `seance adopt`")
    return Stored(str(row[0]), row[1], database)


async def _database(connection: AsyncConnection) -> str | None:
    try:
        return str((await connection.execute(_DATABASE)).scalar_one())
    except DBAPIError:
        return None  # some hosts don't let everybody ask
