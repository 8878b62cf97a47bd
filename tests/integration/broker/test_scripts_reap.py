"""`reap.lua`, branch by branch."""

import pytest

from broker.redis.link import Link
from broker.redis.scripts import Scripts
from tests.session_state import (
    ANA,
    BEN,
    CAT,
    FOREVER,
    GRACE,
    KEPT,
    KEYS,
    OTHER_SESSION,
    PART,
    PARTITION,
    ChannelRecorder,
    SessionState,
    bodies,
    left,
    now_ms,
)

GATEWAYS = KEYS.gateways(PARTITION)


async def lease(session: SessionState, gateway: str, expiry: int) -> None:
    """Let the gateway's lease end then."""
    await session.redis("ZADD", GATEWAYS, expiry, gateway)


async def leases(session: SessionState) -> set[bytes]:
    """Every gateway that has a lease, expired or not, but the one that reaps."""
    return set(await session.redis("ZRANGE", GATEWAYS, 0, -1)) - {b"reaper"}


async def test_reaping_without_seats_makes_nothing(session: SessionState) -> None:
    """Reaping a partition without seats looks at none and stores nothing."""
    assert await session.reap() == 0
    assert await session.keys() == set()


async def test_seats_of_living_gateways_are_kept(session: SessionState) -> None:
    """A seat is kept while its gateway's lease runs, or while its grace does."""
    await session.open()
    await session.join(ANA)
    await session.join(BEN, connection="c-2")
    await session.leave(BEN, "lost", connection="c-2")
    await lease(session, "gw-1", FOREVER)
    await session.heard()
    assert await session.reap() == 0
    assert set(await session.seats()) == {ANA, BEN}
    assert (await session.heard(), await leases(session)) == ([], {b"gw-1"})


async def test_a_seat_whose_grace_has_passed_is_freed(session: SessionState) -> None:
    """A seat whose grace has passed is freed, and everyone is told that its user was lost."""
    await session.open()
    await session.join(ANA)
    await session.join(BEN, connection="c-2")
    await session.leave(ANA, "lost")
    await session.heard()
    await session.pass_time(GRACE)
    assert await session.reap() == 1
    assert (set(await session.seats()), await session.away()) == ({BEN}, {})
    assert await session.heard() == [left(3, ANA, 1, "lost")]
    assert (await session.recorded())[2:] == bodies(left(3, ANA, 1, "lost"))
    assert await session.reap() == 0


async def test_seats_of_a_dead_gateway_are_freed(
    session: SessionState, link: Link, scripts: Scripts, channel: ChannelRecorder
) -> None:
    """A dead gateway's seats are freed in every session of the partition, exactly one event each; others stay."""
    other = SessionState(link, scripts, channel, OTHER_SESSION)
    await session.open()
    await other.open()
    await session.join(ANA, gateway="dead")
    await session.join(BEN, gateway="alive")
    await other.join(CAT, gateway="dead")
    await lease(session, "dead", 1)
    await lease(session, "alive", FOREVER)
    await session.heard()
    await other.heard()
    assert await session.reap() == 2
    assert await session.heard() == [left(3, ANA, 1, "lost")]
    assert await other.heard() == [left(2, CAT, 0, "lost")]
    assert (set(await session.seats()), await other.seats()) == ({BEN}, {})
    assert (await leases(session), await session.held_by("dead")) == ({b"alive"}, set())
    assert await other.expiring() == {"", ":log"}
    assert await session.reap() == 0


async def test_an_expired_lease_without_seats_is_forgotten(session: SessionState) -> None:
    """A lease that held nothing is forgotten."""
    await lease(session, "dead", 1)
    assert await session.reap() == 0
    assert await leases(session) == set()


async def test_one_call_frees_a_limited_number_of_seats(session: SessionState) -> None:
    """At most `limit` seats of dead gateways are freed in one call; the next calls go on, over several gateways."""
    await session.open(max_users=10)
    for number in range(5):
        await session.join(f"u{number}", name=f"u{number}", gateway=f"dead-{number % 2}")
    await lease(session, "dead-0", 1)
    await lease(session, "dead-1", 2)
    left_over = []
    for expected in (2, 2, 1, 0):
        assert await session.reap(limit=2) == expected
        left_over.append((len(await session.seats()), len(await leases(session))))
    assert left_over == [(3, 0), (1, 0), (0, 0), (0, 0)]
    assert await session.redis("EXISTS", f"{PART}condemned") == 0
    assert len([event for event in await session.recorded() if event["type"] == "user_left"]) == 5


async def test_every_expired_lease_is_condemned_before_a_seat_is_freed(session: SessionState) -> None:
    """After the first call no expired lease can be prolonged, though most of its seats are still to be freed."""
    await session.open(max_users=10)
    for number in range(4):
        await session.join(f"u{number}", name=f"u{number}", gateway=f"dead-{number % 2}")
    await lease(session, "dead-0", 1)
    await lease(session, "dead-1", 2)
    assert await session.reap(limit=1) == 1
    assert (len(await session.seats()), await leases(session)) == (3, set())
    assert [await session.renew(gateway) for gateway in ("dead-0", "dead-1")] == [None, None]
    assert await session.join(CAT, gateway="dead-0", is_granted=False) == [b"unleased"]


@pytest.mark.parametrize(
    "how",
    [
        "its lease is gone",
        "its lease has expired",
        "less than half of its lease is left",
        "it has another connection to Redis by now",
    ],
)
async def test_a_reaper_that_can_not_prove_its_own_lease_frees_nothing(session: SessionState, how: str) -> None:
    """Time may have jumped for Redis, or the call may be late: then expired leases say nothing about gateways."""
    await session.open()
    await session.join(ANA, gateway="dead")
    await session.join(BEN, connection="c-2")
    await session.leave(BEN, "lost", connection="c-2")
    await session.pass_time(GRACE)
    await lease(session, "dead", 1)
    match how:
        case "its lease has expired":
            await lease(session, "reaper", 1)
        case "less than half of its lease is left":
            await lease(session, "reaper", now_ms() + 4000)
        case "it has another connection to Redis by now":
            await session.renew("reaper", link=2, is_taken=True)
    await session.heard()
    assert await session.reap(is_granted=how != "its lease is gone") == -1
    assert (set(await session.seats()), await session.heard()) == ({ANA, BEN}, [])
    assert b"dead" in await leases(session)


async def test_a_stale_entry_of_a_moved_user_frees_nothing(session: SessionState) -> None:
    """An entry left over from before a user moved to another gateway frees nothing."""
    await session.open()
    await session.join(ANA, gateway="alive")
    await session.redis("SADD", "seance:{3}:gateway:dead", session.member(ANA))
    await lease(session, "dead", 1)
    await session.heard()
    assert await session.reap() == 1
    assert (set(await session.seats()), await session.heard()) == ({ANA}, [])


async def test_an_entry_of_a_kept_seat_frees_nothing_within_the_grace(session: SessionState) -> None:
    """An entry of a seat that is kept for its user frees nothing before the grace has passed."""
    await session.open()
    await session.join(ANA, gateway="dead")
    await session.leave(ANA, "lost")
    await session.redis("SADD", "seance:{3}:gateway:dead", session.member(ANA))
    await lease(session, "dead", 1)
    assert await session.reap() == 1
    assert (set(await session.seats()), await session.away()) == ({ANA}, {session.member(ANA): KEPT})


async def test_an_entry_without_a_seat_frees_nothing(session: SessionState) -> None:
    """An entry whose seat is gone frees nothing."""
    await session.open()
    await session.redis("SADD", "seance:{3}:gateway:dead", session.member(ANA))
    await lease(session, "dead", 1)
    assert await session.reap() == 1
    assert (await session.heard(), await leases(session)) == ([], set())


async def test_an_overdue_entry_of_a_returned_user_frees_nothing(session: SessionState) -> None:
    """An away entry left over from before its user came back frees nothing, and is forgotten."""
    await session.open()
    await session.join(ANA)
    await session.redis("ZADD", "seance:{3}:away", 1, session.member(ANA), 1, session.member(BEN))
    await session.heard()
    assert await session.reap() == 2
    assert (set(await session.seats()), await session.away(), await session.heard()) == ({ANA}, {}, [])


async def test_one_call_frees_at_most_100_overdue_seats(session: SessionState) -> None:
    """At most 100 overdue seats are freed in one call, and told, so that the caller comes again."""
    await session.open(max_users=200)
    for number in range(101):
        user = f"u{number}"
        await session.join(user, name=user, connection=user)
        await session.leave(user, "lost", connection=user)
    await session.pass_time(GRACE)
    assert [await session.reap() for _ in range(3)] == [100, 1, 0]


async def test_reaping_under_summary_presence_tells_numbers(session: SessionState) -> None:
    """Under summary presence the channel gets numbers only."""
    await session.open(presence="summary")
    await session.join(ANA, gateway="dead")
    await session.join(BEN, gateway="dead")
    await lease(session, "dead", 1)
    await session.heard()
    assert await session.reap() == 2
    assert await session.heard() == ["0 p -\n1", "0 p -\n0"]
    assert [event["data"].get("reason") for event in await session.recorded()] == [None, None, "lost", "lost"]
