"""The settings of every connection of an engine."""

import pytest
from sqlalchemy import text

from persistence.engine import create_engine
from persistence.errors import DatabaseUnavailableError, mapped
from tests.waiting import eventually


async def test_a_forgotten_transaction_is_ended(database_url: str) -> None:
    """A transaction in which nothing is asked for longer than the timeout loses its locks, so that others go on."""
    engine = create_engine(database_url, pool_size=2, max_overflow=0, timeout_seconds=1)
    try:
        async with engine.connect() as stopped, engine.connect() as other:
            await stopped.execute(text("LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE"))
            holders = text(
                "SELECT pid FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'sessions'::regclass"
            )

            async def is_free() -> bool:
                return not (await other.execute(holders)).all()

            assert not await is_free()
            await eventually(is_free)
            with pytest.raises(DatabaseUnavailableError), mapped():
                await stopped.execute(text("SELECT 1"))
    finally:
        await engine.dispose()
