"""Revocations between gateways, Redis and Postgres: what is lost in one place comes back from another."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest
from redis import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from broker.sessions.revocations import Revocation, RevocationHash
from gateway.access import revocations as module
from gateway.access.claims import Claims
from gateway.access.revocations import NotInForceError, Revocations, TooManyRevocationsError
from gateway.access.revoked import RevokedTokens
from gateway.access.token_errors import KeysUnavailableError
from gateway.lifecycle.revocation_watch import RevocationWatch
from persistence.engine import create_engine
from persistence.revocations import StoredRevocations
from tests.gateway_core import KEYS, GatewayCore, gateway_core, without
from tests.session_state import eventually

NOW = int(time.time())
TOKEN = Claims(scope="admin", token_id="t-1", issued_at=NOW)
NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"


class OneGateway:
    """The revocations of one gateway; `ended` has every set of new ones that its connections were compared with."""

    def __init__(self, core: GatewayCore, engine: AsyncEngine, patience_seconds: float) -> None:
        self.core = core
        kept = RevocationHash(core.link, keys=KEYS)
        self.revocations = Revocations(kept, StoredRevocations(engine))
        self.ended: list[RevokedTokens] = []
        self.revocations.on_revoked = self.ended.append
        self.watch = RevocationWatch(
            core.link,
            core.subscriber,
            self.revocations,
            channel=kept.channel,
            patience_seconds=patience_seconds,
            retry_seconds=0.05,
        )
        core.hub.listen(kept.channel, self.revocations.heard, self.watch.interrupted)

    @property
    def refuses(self) -> bool:
        """Whether the token is refused here."""
        return self.revocations.cover(TOKEN)


@contextlib.asynccontextmanager
async def one_gateway(
    redis_url: str, engine: AsyncEngine, *, patience_seconds: float = 60.0
) -> AsyncIterator[OneGateway]:
    """Run the watch of one gateway, which knows the revocations at the start."""
    async with gateway_core(redis_url, is_apart=False) as core:
        one = OneGateway(core, engine, patience_seconds)
        with pytest.raises(KeysUnavailableError):
            one.revocations.cover(TOKEN)
        passed = asyncio.Event()
        passed.set()
        watch = asyncio.create_task(one.watch.run(passed))
        try:
            await eventually(lambda: watch.done() or one.revocations.is_known, what="the revocations")
            yield one
        finally:
            watch.cancel()
            with pytest.raises(asyncio.CancelledError):
                await watch


async def test_every_gateway_hears_of_a_revocation(redis_url: str, engine: AsyncEngine) -> None:
    """A revocation is in force at once where it was made, and soon elsewhere; connections are compared once."""
    async with one_gateway(redis_url, engine) as here, one_gateway(redis_url, engine) as there:
        for _ in range(2):
            revocation = await here.revocations.revoke("jti", "t-1")
            assert here.refuses
            await eventually(lambda: there.refuses, what="the revocation elsewhere")
        assert revocation.expires_at - revocation.revoked_at == 31_536_000
        there.revocations.heard(b"no revocation")
        assert (here.revocations.count, there.revocations.count) == (1, 1)
        assert [len(one) for one in there.ended[:1]] == [1]


async def test_a_redis_that_lost_them_gets_them_back(redis_url: str, engine: AsyncEngine) -> None:
    """After Redis has lost everything, a gateway that starts knows them from Postgres, and Redis has them again."""
    async with one_gateway(redis_url, engine) as here:
        await here.revocations.revoke("jti", "t-1")
        with Redis.from_url(redis_url) as redis:
            redis.flushall()
            async with one_gateway(redis_url, engine) as there:
                assert there.refuses
                await eventually(lambda: bool(redis.hexists(KEYS.revocations, "jti t-1")), what="its return to Redis")


async def test_one_that_was_missed_during_an_interruption_is_read(redis_url: str, engine: AsyncEngine) -> None:
    """A gateway whose connection to Redis broke reads what was revoked meanwhile."""
    async with one_gateway(redis_url, engine) as here, one_gateway(redis_url, engine) as there:
        async with without(there.core.link.keeper):
            await here.revocations.revoke("jti", "t-1")
            assert not there.refuses
        await eventually(lambda: there.refuses, what="the revocation after the interruption")


async def test_without_postgres_what_redis_holds_is_enough(redis_url: str, engine: AsyncEngine) -> None:
    """A gateway that starts without Postgres waits a while, and then knows what Redis holds; a revocation says so."""
    away = create_engine(NOWHERE, pool_size=1, max_overflow=0, timeout_seconds=1)
    with Redis.from_url(redis_url) as redis:
        redis.hset(KEYS.revocations, "jti t-1", f"[{NOW},{NOW + 600}]")
        redis.hset(KEYS.revocations, "jti over", f"[{NOW},{NOW - 1}]")
        redis.hset(KEYS.revocations, "jti unreadable", "[]")
        redis.hset(KEYS.revocations, "aud later", f"[{NOW},{NOW + 600}]")
        async with one_gateway(redis_url, away, patience_seconds=0.2) as here:
            assert here.refuses
            assert here.revocations.count == 1
            assert not redis.hexists(KEYS.revocations, "jti over")
            with pytest.raises(NotInForceError, match="in force, but Postgres"):
                await here.revocations.revoke("sub", "ana")
            assert here.revocations.cover(Claims(scope="sessions:create", subject="ana"))
    stored = StoredRevocations(engine)
    assert await stored.in_force() == []
    async with one_gateway(redis_url, engine):
        await eventually(stored.in_force, what="what Redis held in Postgres")
        assert {(one.claim, one.value) for one in await stored.in_force()} == {("jti", "t-1"), ("sub", "ana")}


async def test_without_redis_a_revocation_waits_in_postgres(redis_url: str, engine: AsyncEngine) -> None:
    """While Redis is away the other gateways can't hear; the answer says so, and they read it from Postgres later."""
    async with one_gateway(redis_url, engine) as here:
        async with without(here.core.link.keeper):
            with pytest.raises(NotInForceError, match="Redis can't be reached"):
                await here.revocations.revoke("jti", "t-1")
            assert here.refuses
        async with one_gateway(redis_url, engine) as there:
            assert there.refuses


async def test_there_is_a_most(redis_url: str, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded: beyond the most revocations none is taken, and none is forgotten."""
    monkeypatch.setattr(module, "MAX_REVOCATIONS", 1)
    async with one_gateway(redis_url, engine) as here:
        await here.revocations.revoke("jti", "t-1")
        with pytest.raises(TooManyRevocationsError):
            await here.revocations.revoke("jti", "t-2")
        assert here.refuses


async def test_many_are_read_in_pages(redis_url: str, engine: AsyncEngine) -> None:
    """Thousands of revocations are stored and read."""
    many = [Revocation("jti", f"t-{number}", NOW, NOW + 600) for number in range(12_000)]
    await StoredRevocations(engine).add(many)
    async with one_gateway(redis_url, engine) as here:
        assert (here.revocations.count, here.refuses) == (len(many), True)
        kept = RevocationHash(here.core.link, keys=KEYS)

        async def has_all() -> bool:
            return len(await kept.in_force(NOW)) == len(many)

        await eventually(has_all, what="all of them in Redis")
