"""Gateway leases: proof of life, and the end of the seats of gateways without a lease."""

import asyncio
import time

import pytest

from broker.events import User
from broker.keys import Keys
from broker.redis.link import Link
from broker.redis.scripts import Scripts
from broker.sessions.gateway_leases import LEASE_MS, GatewayLeases, Renewal
from broker.sessions.live_sessions import LiveSessions, SessionInfo
from tests.session_state import now_ms, take_lease

PARTITIONS = 4
KEYS = Keys("seance", PARTITIONS)
GOOD = Renewal(frozenset(), is_late=False)


def leases(link: Link, scripts: Scripts, lease: str = "gw-1") -> GatewayLeases:
    """The leases of a gateway."""
    return GatewayLeases(link, scripts, keys=KEYS, name=lease)


async def expiries(link: Link, lease: str = "gw-1") -> list[int | None]:
    """When the gateway's lease ends, in each partition."""
    scores = [await link.call("ZSCORE", KEYS.gateways(partition), lease) for partition in range(PARTITIONS)]
    return [None if score is None else int(score) for score in scores]


async def seated(sessions: LiveSessions, number: int, lease: str) -> str:
    """A session of its own with one user on that gateway; its id."""
    session_id = f"00000000-0000-4000-8000-{number:012}"
    await sessions.open(SessionInfo(session_id, "Evening", "2026-11-22T21:05:00.123Z", 200, "full", spirit=False))
    await take_lease(sessions._link, session_id, KEYS, lease)
    await sessions.join(session_id, User(f"u{number}", f"Guest {number}"), gateway=lease, connection="c-1")
    return session_id


async def test_a_lease_is_taken_once_and_then_prolonged(link: Link, scripts: Scripts) -> None:
    """The first renewal takes the lease in every partition; the next ones prolong it."""
    ours = leases(link, scripts)
    before = now_ms()
    assert await ours.renew() == GOOD
    assert all(expiry and before + LEASE_MS <= expiry <= now_ms() + LEASE_MS for expiry in await expiries(link))
    for partition in range(PARTITIONS):
        await link.call("ZADD", KEYS.gateways(partition), now_ms() + LEASE_MS - 2000, "gw-1")
    assert await ours.renew() == GOOD
    assert all(expiry and expiry > now_ms() + LEASE_MS - 1500 for expiry in await expiries(link))


async def test_a_lost_lease_never_comes_back(link: Link, scripts: Scripts) -> None:
    """The next renewal takes a lease of another name, so that the new seats are not freed with the lost ones."""
    ours, theirs = leases(link, scripts), leases(link, scripts, "gw-2")
    sessions = LiveSessions(link, scripts, keys=KEYS)
    await ours.renew()
    await theirs.renew()
    held = [await seated(sessions, number, "gw-1") for number in range(3)]
    session_id, others = held[0], held[1:]
    partition = KEYS.partition_of(session_id)
    await link.call("ZADD", KEYS.gateways(partition), 1, "gw-1")
    assert await theirs.reap() == sum(KEYS.partition_of(other) == partition for other in held)
    assert (await ours.renew()).lost == {partition}
    assert ours.of(session_id) == "gw-1.1"
    assert {ours.of(other) for other in others if KEYS.partition_of(other) != partition} <= {"gw-1"}
    await link.call("SADD", f"{KEYS.part(partition)}condemned", "gw-1")  # as if seats were left to be freed
    assert await ours.renew() == GOOD
    await sessions.join(session_id, User("u9", "Late"), gateway=ours.of(session_id), connection="c-9")
    await theirs.reap()
    assert [user.id for user in await sessions.users(session_id)] == ["u9"]


@pytest.mark.parametrize("left_ms", [LEASE_MS // 2 - 1000, -1000])
async def test_a_late_renewal_is_told(link: Link, scripts: Scripts, left_ms: int) -> None:
    """A gateway that slept, but was not condemned, has lost nothing; that little was left of its lease is told."""
    ours = leases(link, scripts)
    await ours.renew()
    await link.call("ZADD", KEYS.gateways(1), now_ms() + left_ms, "gw-1")
    assert await ours.renew() == Renewal(frozenset(), is_late=True)
    assert min(expiry or 0 for expiry in await expiries(link)) > now_ms()


async def test_time_that_jumps_for_redis_frees_no_seat(link: Link, scripts: Scripts) -> None:
    """When the clock of Redis steps ahead, or Redis slept, no gateway frees seats before all could renew."""
    sessions = LiveSessions(link, scripts, keys=KEYS)
    ours, theirs = leases(link, scripts), leases(link, scripts, "gw-2")
    await ours.renew()
    await theirs.renew()
    session_id = await seated(sessions, 1, "gw-2")
    for partition in range(PARTITIONS):
        for name in ("gw-1", "gw-2"):
            await link.call("ZINCRBY", KEYS.gateways(partition), -LEASE_MS, name)
    assert await ours.reap() is None
    assert await ours.renew() == Renewal(frozenset(), is_late=True)
    assert await theirs.renew() == Renewal(frozenset(), is_late=True)
    assert await ours.reap() == 0
    assert (await sessions.state(session_id)).user_count == 1


async def test_reaping_frees_the_seats_of_dead_gateways_only(link: Link, scripts: Scripts) -> None:
    """Seats of a gateway whose lease has passed are freed in every partition; those of the living stay."""
    dead, alive = leases(link, scripts, "dead"), leases(link, scripts, "alive")
    sessions = LiveSessions(link, scripts, keys=KEYS)
    await dead.renew()
    await alive.renew()
    held = [await seated(sessions, number, ("dead", "alive")[number % 2]) for number in range(20)]
    assert await alive.reap() == 0
    for partition in range(PARTITIONS):
        await link.call("ZADD", KEYS.gateways(partition), now_ms() - 1, "dead")
    assert await alive.reap() == 10
    assert [(await sessions.state(session_id)).user_count for session_id in held] == [0, 1] * 10
    assert await expiries(link, "dead") == [None] * PARTITIONS
    assert await alive.reap() == 0


async def test_one_round_frees_any_number_of_seats(link: Link, scripts: Scripts) -> None:
    """However many seats a dead gateway held, one round frees them all, some at a time."""
    sessions = LiveSessions(link, scripts, keys=KEYS)
    dead = leases(link, scripts, "dead")
    await dead.renew()
    held = await asyncio.gather(*(seated(sessions, number, "dead") for number in range(50)))
    await dead.give_up()
    reaper = GatewayLeases(link, scripts, keys=KEYS, name="gw-1", reap_at_once=3)
    await reaper.renew()
    assert await reaper.reap() == 50
    assert {(await sessions.state(session_id)).user_count for session_id in held} == {0}
    assert await expiries(link, "dead") == [None] * PARTITIONS
    assert await link.call("KEYS", "*gateway:*") + await link.call("KEYS", "*condemned*") == []


async def test_a_kept_seat_is_freed_after_its_grace(link: Link, scripts: Scripts) -> None:
    """A seat to which no user came back is freed once its grace has passed."""
    sessions = LiveSessions(link, scripts, keys=KEYS, grace_seconds=15)
    ours = leases(link, scripts)
    await ours.renew()
    session_id = await seated(sessions, 1, "gw-1")
    await sessions.leave(session_id, "u1", connection="c-1", is_lost=True)
    assert await ours.reap() == 0
    away = f"{KEYS.part(KEYS.partition_of(session_id))}away"
    await link.call("ZADD", away, now_ms() - 1, f"{session_id} u1")
    assert await ours.reap() == 1
    assert await sessions.users(session_id) == []


async def test_a_lease_that_is_given_up_ends_at_once(link: Link, scripts: Scripts) -> None:
    """A gateway that ends lets its leases end at once; one that never had any makes none."""
    ours = leases(link, scripts)
    await ours.give_up()
    assert await expiries(link) == [None] * PARTITIONS
    await ours.renew()
    await ours.give_up()
    assert await expiries(link) == [0] * PARTITIONS
    another = leases(link, scripts, "another")
    await another.renew()
    assert await another.reap() == 0
    assert await expiries(link) == [None] * PARTITIONS


async def test_a_wrong_clock_frees_no_seat_of_a_living_gateway(
    link: Link, scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway whose clock is wrong frees no seat of a gateway that lives, and lives itself."""
    sessions = LiveSessions(link, scripts, keys=KEYS)
    ours, theirs = leases(link, scripts), leases(link, scripts, "gw-2")
    await theirs.renew()
    session_id = await seated(sessions, 1, "gw-2")
    for skew_seconds in (60, -60):
        skewed_ns = time.time_ns() + skew_seconds * 1_000_000_000
        with monkeypatch.context() as patch:
            patch.setattr(time, "time_ns", lambda skewed_ns=skewed_ns: skewed_ns)
            await ours.renew()
            await ours.reap()
        assert (await sessions.state(session_id)).user_count == 1
        assert min(expiry or 0 for expiry in await expiries(link)) > now_ms()
