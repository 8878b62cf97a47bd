"""`renew_gateway.lua`, branch by branch."""

import pytest

from tests.session_state import KEYS, PART, PARTITION, SessionState, now_ms

WHOLE = 10_000


async def left(session: SessionState, gateway: str = "gw-1") -> int | None:
    """How many ms the lease has left."""
    score = await session.redis("ZSCORE", KEYS.gateways(PARTITION), gateway)
    return None if score is None else int(score) - now_ms()


async def test_a_lease_is_taken_and_prolonged_by_the_clock_of_redis(session: SessionState) -> None:
    """A lease lasts from the moment in which Redis prolongs it; the answer tells what was left."""
    assert await session.renew("gw-1", is_taken=True) == WHOLE
    await session.redis("ZADD", KEYS.gateways(PARTITION), now_ms() + 4000, "gw-1")
    assert 3000 < await session.renew("gw-1") <= 4000
    assert WHOLE - 1000 < (await left(session) or 0) <= WHOLE + 1000


async def test_a_lease_that_is_not_there_is_not_prolonged(session: SessionState) -> None:
    """A gateway whose lease was condemned is told so, and gets no new lease by a renewal."""
    assert await session.renew("gw-1") is None
    assert await session.redis("KEYS", "*") == []


async def test_an_expired_lease_that_nobody_condemned_is_prolonged(session: SessionState) -> None:
    """A gateway that slept and was not condemned has lost nothing, and is told how late it is."""
    await session.renew("gw-1", is_taken=True)
    await session.redis("ZADD", KEYS.gateways(PARTITION), now_ms() - 2000, "gw-1")
    assert -3000 < await session.renew("gw-1") <= -2000
    assert (await left(session) or 0) > WHOLE - 1000


@pytest.mark.parametrize("is_taken", [True, False])
async def test_a_late_renewal_of_an_earlier_connection_changes_nothing(session: SessionState, is_taken: bool) -> None:
    """What arrives late from a connection that was given up neither prolongs the lease nor lets joins in again."""
    await session.renew("gw-1", link=2, is_taken=True)
    await session.redis("ZADD", KEYS.gateways(PARTITION), now_ms() + 4000, "gw-1")
    assert await session.renew("gw-1", link=1, is_taken=is_taken) == 0
    assert (await left(session) or 0) <= 4000
    assert await session.redis("HGET", f"{PART}connections", "gw-1") == b"2"


async def test_no_lease_outlives_a_clock_that_was_set_back(session: SessionState) -> None:
    """A lease that ends in an hour, since the clock went back by that, ends within one lease of the next renewal."""
    await session.renew("dead", is_taken=True)
    await session.redis("ZADD", KEYS.gateways(PARTITION), now_ms() + 3_600_000, "dead")
    await session.renew("gw-1", is_taken=True)
    assert (await left(session, "dead") or 0) <= WHOLE
