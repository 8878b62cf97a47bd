"""The Postgres connections of a pool: which of them may stay, and how one is given up."""

from typing import Any

import asyncpg
from sqlalchemy import event, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine

from persistence.errors import DatabaseUnavailableError, mapped

# SQLSTATEs after which a connection, and every other one of its pool, is of no use: the connection is broken (08), the
# server ends it (57P..., 25P...) or is a standby, as after a failover, which answers every query but writes nothing.
_SPENT = ("08", "57P01", "57P02", "57P03", "57P05", "25P03", "25P04", "25006")


class PooledConnection(asyncpg.Connection):
    """A connection that is given up without a word: a Postgres that hangs would hold its caller up for 2 s more."""

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as in asyncpg
        """Say goodbye to Postgres; with a limit, which SQLAlchemy gives when it gives a connection up, end at once."""
        if timeout is None:
            await super().close()
        else:
            self.terminate()


def drop_spent(engine: AsyncEngine) -> None:
    """Let no connection of the engine's pool outlive an answer that shows that they all are spent."""

    @event.listens_for(engine.sync_engine, "handle_error")
    def note(context: ExceptionContext) -> None:
        if is_spent(getattr(context.original_exception, "sqlstate", None)):
            context.is_disconnect = True


def is_spent(sqlstate: Any) -> bool:
    """Whether a connection that answered with this SQLSTATE is of no use any more."""
    return isinstance(sqlstate, str) and sqlstate.startswith(_SPENT)


async def ping(engine: AsyncEngine) -> None:
    """Return when Postgres answers and takes writes. Raises DatabaseUnavailableError.

    A standby answers every query, so that a gateway would pass for healthy while it can create nothing.
    """
    with mapped():
        async with engine.connect() as connection:
            if (await connection.execute(text("SHOW transaction_read_only"))).scalar_one() == "on":
                await connection.invalidate()
                raise DatabaseUnavailableError("Postgres takes no writes: it is a standby, or read-only")
