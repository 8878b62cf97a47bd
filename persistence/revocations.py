"""Revoked tokens in Postgres, where they outlast a loss of Redis."""

from collections.abc import Collection
from datetime import UTC, datetime

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from broker.sessions.revocations import Revocation
from persistence.errors import mapped
from persistence.tables import RevocationRow

_COLUMNS = RevocationRow.__table__.c
# Postgres takes 32 767 parameters in one statement.
_AT_ONCE = 5000


class StoredRevocations:
    """Queries about revocations. Every method raises DatabaseUnavailableError when Postgres can't answer."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(self, revocations: Collection[Revocation]) -> None:
        """Keep these revocations; of one that is known the later times count. Those that are over are forgotten."""
        rows = [
            {
                "claim": one.claim,
                "value": one.value,
                "revoked_at": datetime.fromtimestamp(one.revoked_at, UTC),
                "expires_at": datetime.fromtimestamp(one.expires_at, UTC),
            }
            # In one order everywhere, so that two transactions never wait for each other's rows.
            for one in sorted(revocations, key=lambda one: (one.claim, one.value))
        ]
        added = insert(RevocationRow)
        merged = added.on_conflict_do_update(
            index_elements=[RevocationRow.claim, RevocationRow.value],
            set_={
                "revoked_at": func.greatest(RevocationRow.revoked_at, added.excluded.revoked_at),
                "expires_at": func.greatest(RevocationRow.expires_at, added.excluded.expires_at),
            },
        )
        with mapped():
            async with self._engine.begin() as connection:
                await connection.execute(delete(RevocationRow).where(RevocationRow.expires_at <= func.now()))
                for start in range(0, len(rows), _AT_ONCE):
                    await connection.execute(merged, rows[start : start + _AT_ONCE])

    async def in_force(self) -> list[Revocation]:
        """Every revocation that is not over."""
        query = select(*_COLUMNS).where(RevocationRow.expires_at > func.now())
        with mapped():
            async with self._engine.connect() as connection:
                rows = (await connection.execute(query)).all()
        return [
            Revocation(row.claim, row.value, int(row.revoked_at.timestamp()), int(row.expires_at.timestamp()))
            for row in rows
        ]
