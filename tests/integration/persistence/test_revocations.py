"""Revocations in Postgres."""

import time

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from broker.sessions.revocations import Revocation
from persistence.revocations import StoredRevocations

NOW = int(time.time())


async def test_a_revocation_is_kept_until_it_is_over(engine: AsyncEngine) -> None:
    """Revocations in force are told, of one that came twice the later times; the next write forgets what is over."""
    stored = StoredRevocations(engine)
    token, person = Revocation("jti", "t-1", NOW, NOW + 600), Revocation("sub", "ana", NOW, NOW + 900)
    await stored.add([Revocation("jti", "over", NOW - 20, NOW - 10), token, person])
    await stored.add([Revocation("jti", "t-1", NOW - 5, NOW + 60), Revocation("sub", "ana", NOW + 5, NOW + 905)])
    assert set(await stored.in_force()) == {token, Revocation("sub", "ana", NOW + 5, NOW + 905)}
    async with engine.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM revocations"))).scalar_one() == 2
    await stored.add([])
    assert len(await stored.in_force()) == 2
