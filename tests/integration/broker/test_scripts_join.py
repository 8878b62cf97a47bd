"""`join.lua`, branch by branch."""

import pytest

from broker.redis.link import Link
from broker.redis.scripts import Scripts
from tests.session_state import (
    ANA,
    BEN,
    CAT,
    EPOCH,
    GRACE,
    OTHER_SESSION,
    PART,
    TS,
    Ear,
    Hot,
    bodies,
    joined,
    left,
    user_json,
)


def seat(user: str, *, gateway: str = "gw-1", connection: str = "c-1", state: str = "here") -> dict[str, str]:
    """A seat as it is kept."""
    names = {ANA: "ana", BEN: "ben", CAT: "cat"}
    return {"n": names[user], "u": user_json(user), "g": gateway, "c": connection, "s": state}


async def test_unknown(hot: Hot) -> None:
    """Without hot state nobody gets in, and nothing is left behind."""
    assert await hot.join(ANA) == [b"unknown"]
    assert await hot.keys() == set()


async def test_closed(hot: Hot) -> None:
    """A closed session takes nobody."""
    await hot.open(is_active=0)
    assert await hot.join(ANA) == [b"closed"]
    assert await hot.keys() == {""}


async def test_removed(hot: Hot) -> None:
    """Whom the host removed does not get in again, not even as the same user."""
    await hot.open(ANA)
    assert await hot.join(ANA) == [b"removed"]
    assert (await hot.seats(), await hot.held_by("gw-1"), await hot.heard()) == ({}, set(), [])


async def test_joined(hot: Hot) -> None:
    """The seat, the name and the gateway's hold are kept; the event is in the log, the stream and the channel."""
    await hot.open()
    reply = await hot.join(ANA)
    assert reply[:4] == [b"joined", 1, EPOCH.encode(), 1]
    assert len(reply) == 5
    assert await hot.seats() == {ANA: seat(ANA)}
    assert await hot.names() == {"ana": ANA}
    assert await hot.held_by("gw-1") == {hot.member(ANA)}
    assert await hot.log() == {"1-0": joined(1, ANA, 1)}
    assert await hot.heard() == [joined(1, ANA, 1)]
    assert await hot.recorded() == bodies(joined(1, ANA, 1))
    assert (await hot.hash())["seq"] == "1"
    assert await hot.keys() == {"", ":log", ":users", ":names", "gateway:gw-1", "events"}


async def test_everyone_is_told_under_full_presence(hot: Hot) -> None:
    """The reply holds every seat, one's own too."""
    await hot.open()
    await hot.join(ANA)
    reply = await hot.join(BEN)
    assert reply[:4] == [b"joined", 2, EPOCH.encode(), 2]
    assert {user_json(ANA), user_json(BEN)} == {entry["u"] for entry in (await hot.seats()).values()}
    assert len(reply[4:]) == 2


async def test_summary_presence_counts(hot: Hot) -> None:
    """In a big session a join costs no seq: the channel gets the number, the worker the event without a seq."""
    await hot.open(presence="summary")
    await hot.publish()
    await hot.heard()
    assert await hot.join(ANA) == [b"joined", 1, EPOCH.encode(), 1]
    assert await hot.heard() == ["0 p -\n1"]
    event = {key: value for key, value in bodies(joined(1, ANA, 1))[0].items() if key != "seq"}
    assert (await hot.recorded())[1:] == [event]
    assert len(await hot.log()) == 1


async def test_keeps_the_hot_state_while_somebody_is_there(hot: Hot) -> None:
    """The first join takes the time limit off everything that the session has."""
    await hot.open(BEN)
    await hot.publish(kind="e", user="-")
    assert await hot.expiring() == {"", ":log", ":removed"}
    await hot.join(ANA)
    assert await hot.expiring() == set()


async def test_name_taken(hot: Hot) -> None:
    """Another user's folded name is refused, and nothing changes."""
    await hot.open()
    await hot.join(ANA)
    await hot.heard()
    before = await hot.seats(), await hot.hash()
    assert await hot.join(BEN, name="ANA") == [b"taken"]
    assert (await hot.seats(), await hot.hash()) == before
    assert (await hot.held_by("gw-1"), await hot.heard()) == ({hot.member(ANA)}, [])


async def test_full(hot: Hot) -> None:
    """Beyond `max_users` nobody gets in; the name stays free."""
    await hot.open(max_users=2)
    await hot.join(ANA)
    await hot.join(BEN)
    assert await hot.join(CAT) == [b"full"]
    assert set(await hot.names()) == {"ana", "ben"}
    assert (await hot.hash())["seq"] == "2"


async def test_the_same_user_needs_no_second_seat(hot: Hot) -> None:
    """Who comes back to a full session gets in, with the seat and name held; no event tells of it."""
    await hot.open(max_users=1)
    await hot.join(ANA)
    await hot.leave(ANA, "lost")
    await hot.heard()
    reply = await hot.join(ANA, gateway="gw-2", connection="c-2")
    assert reply[:4] == [b"again", 1, EPOCH.encode(), 1]
    assert len(reply) == 5
    assert await hot.seats() == {ANA: seat(ANA, gateway="gw-2", connection="c-2")}
    assert (await hot.held_by("gw-1"), await hot.held_by("gw-2")) == (set(), {hot.member(ANA)})
    assert (await hot.away(), await hot.heard()) == ({}, [])


async def test_coming_back_keeps_the_first_name(hot: Hot) -> None:
    """A returning user's seat stays as it was taken, whatever name they give now."""
    await hot.open()
    await hot.join(ANA)
    reply = await hot.join(ANA, name="Ben", connection="c-2")
    assert reply[0] == b"again"
    assert (await hot.names(), await hot.seats()) == ({"ana": ANA}, {ANA: seat(ANA, connection="c-2")})


async def test_a_second_connection_replaces_the_first(hot: Hot) -> None:
    """While the first connection holds the seat, whoever holds that connection is told that it goes."""
    await hot.open()
    await hot.join(ANA)
    await hot.heard()
    assert (await hot.join(ANA, gateway="gw-2", connection="c-2"))[0] == b"again"
    assert await hot.heard() == [f"0 x {ANA}\nc-1"]
    assert (await hot.held_by("gw-1"), await hot.held_by("gw-2")) == (set(), {hot.member(ANA)})
    assert await hot.leave(ANA, connection="c-1") == 0
    assert await hot.seats() == {ANA: seat(ANA, gateway="gw-2", connection="c-2")}


@pytest.mark.parametrize("newcomer", ["Ana", "Ben"])
async def test_frees_seats_whose_grace_has_passed(hot: Hot, newcomer: str) -> None:
    """An overdue seat makes way first: its end is announced, then its name and place can be had."""
    await hot.open(max_users=1)
    await hot.join(ANA)
    await hot.leave(ANA, "lost")
    await hot.heard()
    await hot.pass_time(GRACE)
    reply = await hot.join(BEN, name=newcomer)
    assert reply[:4] == [b"joined", 3, EPOCH.encode(), 1]
    first, second = await hot.heard()
    assert first == left(2, ANA, 0, "lost")
    assert bodies(second)[0]["data"]["user"] == {"id": BEN, "name": newcomer}
    assert set(await hot.seats()) == {BEN}
    assert await hot.expiring() == set()


async def test_comes_too_late_for_the_own_seat(hot: Hot) -> None:
    """After the grace the same user takes a new seat; everyone sees them leave and come."""
    await hot.open()
    await hot.join(ANA)
    await hot.leave(ANA, "lost")
    await hot.heard()
    await hot.pass_time(GRACE)
    assert (await hot.join(ANA))[:2] == [b"joined", 3]
    assert await hot.heard() == [left(2, ANA, 0, "lost"), joined(3, ANA, 1)]


async def test_is_in_time_for_the_own_seat(hot: Hot) -> None:
    """While the grace has not passed the seat is still there."""
    await hot.open()
    await hot.join(ANA)
    await hot.leave(ANA, "lost")
    await hot.pass_time(GRACE // 3)
    assert (await hot.join(ANA))[:2] == [b"again", 1]


async def test_frees_seats_of_other_sessions_too(hot: Hot, link: Link, scripts: Scripts, ear: Ear) -> None:
    """Every overdue seat of the partition is freed, in its own session."""
    other = Hot(link, scripts, ear, OTHER_SESSION)
    await hot.open()
    await other.open()
    await other.join(BEN)
    await other.leave(BEN, "lost")
    await other.heard()
    await hot.pass_time(GRACE)
    await hot.join(ANA)
    assert await other.heard() == [left(2, BEN, 0, "lost")]
    assert (await other.seats(), await hot.away()) == ({}, {})
    assert await other.expiring() == {"", ":log"}


async def test_forgets_overdue_entries_that_hold_no_seat(hot: Hot) -> None:
    """An entry whose seat is gone, or is held again, is dropped without an event."""
    await hot.open()
    await hot.join(ANA)
    await hot.redis("ZADD", "seance:{3}:away", 1, hot.member(ANA), 1, hot.member(CAT))
    await hot.heard()
    assert (await hot.join(BEN))[0] == b"joined"
    assert await hot.away() == {}
    assert set(await hot.seats()) == {ANA, BEN}
    assert await hot.heard() == [joined(2, BEN, 2)]


async def test_frees_a_bounded_number_of_overdue_seats(hot: Hot) -> None:
    """One join frees at most 100 seats, those that are due first."""
    await hot.open(max_users=200)
    for number in range(101):
        user = f"u{number}"
        await hot.join(user, name=user, connection=user)
        await hot.leave(user, "lost", connection=user)
    for number in range(101):
        await hot.redis("ZADD", f"{PART}away", number, hot.member(f"u{number}"))
    await hot.join(ANA)
    assert set(await hot.seats()) == {"u100", ANA}
    assert set(await hot.away()) == {hot.member("u100")}


async def test_a_gateway_without_a_lease_holds_no_seats(hot: Hot) -> None:
    """If it died nobody would free its seats, so it gets none."""
    await hot.open()
    await hot.join(ANA, gateway="gw-1")
    await hot.redis("ZREM", PART + "gateways", "gw-1")
    reply = await hot._seats("join", BEN, "{}", "ben", "gw-1", "c-2", TS)
    assert reply == [b"unleased"]
    assert set(await hot.redis("HKEYS", f"{hot.key}:users")) == {ANA.encode()}
