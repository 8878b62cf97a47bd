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
    ChannelRecorder,
    SessionState,
    bodies,
    joined,
    left,
    user_json,
)


def seat(user: str, *, gateway: str = "gw-1", connection: str = "c-1", state: str = "here") -> dict[str, str]:
    """A seat as it is kept."""
    names = {ANA: "ana", BEN: "ben", CAT: "cat"}
    return {"n": names[user], "u": user_json(user), "g": gateway, "c": connection, "s": state}


async def test_joining_an_unknown_session_is_refused(session: SessionState) -> None:
    """Without hot state a join is refused, and leaves nothing in Redis."""
    assert await session.join(ANA) == [b"unknown"]
    assert await session.keys() == set()


async def test_joining_a_closed_session_is_refused(session: SessionState) -> None:
    """A closed session refuses every join."""
    await session.open(is_active=0)
    assert await session.join(ANA) == [b"closed"]
    assert await session.keys() == {""}


async def test_a_removed_user_may_not_join(session: SessionState) -> None:
    """Whom the host removed does not get in again, not even as the same user."""
    await session.open(ANA)
    assert await session.join(ANA) == [b"removed"]
    assert (await session.seats(), await session.held_by("gw-1"), await session.heard()) == ({}, set(), [])


async def test_joining_takes_seat_and_name_and_is_announced(session: SessionState) -> None:
    """The seat, the name and the gateway's hold are kept; the event is in the log, the stream and the channel."""
    await session.open()
    reply = await session.join(ANA)
    assert reply[:4] == [b"joined", 1, EPOCH.encode(), 1]
    assert len(reply) == 5
    assert await session.seats() == {ANA: seat(ANA)}
    assert await session.names() == {"ana": ANA}
    assert await session.held_by("gw-1") == {session.member(ANA)}
    assert await session.log() == {"1-0": joined(1, ANA, 1)}
    assert await session.heard() == [joined(1, ANA, 1)]
    assert await session.recorded() == bodies(joined(1, ANA, 1))
    assert (await session.hash())["seq"] == "1"
    assert await session.keys() == {"", ":log", ":users", ":names", "gateway:gw-1", "events"}


async def test_joining_under_full_presence_tells_every_seat(session: SessionState) -> None:
    """The reply holds every seat, one's own too."""
    await session.open()
    await session.join(ANA)
    reply = await session.join(BEN)
    assert reply[:4] == [b"joined", 2, EPOCH.encode(), 2]
    assert {user_json(ANA), user_json(BEN)} == {entry["u"] for entry in (await session.seats()).values()}
    assert len(reply[4:]) == 2


async def test_joining_under_summary_presence_tells_the_number(session: SessionState) -> None:
    """In a big session a join costs no seq: the channel gets the number, the worker the event without a seq."""
    await session.open(presence="summary")
    await session.publish()
    await session.heard()
    assert await session.join(ANA) == [b"joined", 1, EPOCH.encode(), 1]
    assert await session.heard() == ["0 p -\n1"]
    event = {key: value for key, value in bodies(joined(1, ANA, 1))[0].items() if key != "seq"}
    assert (await session.recorded())[1:] == [event]
    assert len(await session.log()) == 1


async def test_the_first_join_takes_the_time_limit_off(session: SessionState) -> None:
    """The first join takes the time limit off everything that the session has."""
    await session.open(BEN)
    await session.publish(kind="e", user="-")
    assert await session.expiring() == {"", ":log", ":removed"}
    await session.join(ANA)
    assert await session.expiring() == set()


async def test_a_taken_name_is_refused(session: SessionState) -> None:
    """Another user's folded name is refused, and nothing changes."""
    await session.open()
    await session.join(ANA)
    await session.heard()
    before = await session.seats(), await session.hash()
    assert await session.join(BEN, name="ANA") == [b"taken"]
    assert (await session.seats(), await session.hash()) == before
    assert (await session.held_by("gw-1"), await session.heard()) == ({session.member(ANA)}, [])


async def test_a_full_session_is_refused(session: SessionState) -> None:
    """Beyond `max_users` a join is refused; the name stays free."""
    await session.open(max_users=2)
    await session.join(ANA)
    await session.join(BEN)
    assert await session.join(CAT) == [b"full"]
    assert set(await session.names()) == {"ana", "ben"}
    assert (await session.hash())["seq"] == "2"


async def test_the_same_user_needs_no_second_seat(session: SessionState) -> None:
    """A user who comes back to a full session gets the held seat and name; no event tells of it."""
    await session.open(max_users=1)
    await session.join(ANA)
    await session.leave(ANA, "lost")
    await session.heard()
    reply = await session.join(ANA, gateway="gw-2", connection="c-2")
    assert reply[:4] == [b"again", 1, EPOCH.encode(), 1]
    assert len(reply) == 5
    assert await session.seats() == {ANA: seat(ANA, gateway="gw-2", connection="c-2")}
    assert (await session.held_by("gw-1"), await session.held_by("gw-2")) == (set(), {session.member(ANA)})
    assert (await session.away(), await session.heard()) == ({}, [])


async def test_coming_back_keeps_the_first_name(session: SessionState) -> None:
    """A returning user's seat stays as it was taken, whatever name they give now."""
    await session.open()
    await session.join(ANA)
    reply = await session.join(ANA, name="Ben", connection="c-2")
    assert reply[0] == b"again"
    assert (await session.names(), await session.seats()) == ({"ana": ANA}, {ANA: seat(ANA, connection="c-2")})


async def test_a_second_connection_of_a_user_replaces_the_first(session: SessionState) -> None:
    """While the first connection holds the seat, its gateway is told that the connection is replaced."""
    await session.open()
    await session.join(ANA)
    await session.heard()
    assert (await session.join(ANA, gateway="gw-2", connection="c-2"))[0] == b"again"
    assert await session.heard() == [f"0 x {ANA}\nc-1"]
    assert (await session.held_by("gw-1"), await session.held_by("gw-2")) == (set(), {session.member(ANA)})
    assert await session.leave(ANA, connection="c-1") == 0
    assert await session.seats() == {ANA: seat(ANA, gateway="gw-2", connection="c-2")}


@pytest.mark.parametrize("newcomer", ["Ana", "Ben"])
async def test_joining_frees_overdue_seats_first(session: SessionState, newcomer: str) -> None:
    """An overdue seat makes way first: its end is announced, then its name and place can be had."""
    await session.open(max_users=1)
    await session.join(ANA)
    await session.leave(ANA, "lost")
    await session.heard()
    await session.pass_time(GRACE)
    reply = await session.join(BEN, name=newcomer)
    assert reply[:4] == [b"joined", 3, EPOCH.encode(), 1]
    first, second = await session.heard()
    assert first == left(2, ANA, 0, "lost")
    assert bodies(second)[0]["data"]["user"] == {"id": BEN, "name": newcomer}
    assert set(await session.seats()) == {BEN}
    assert await session.expiring() == set()


async def test_coming_back_after_the_grace_takes_a_new_seat(session: SessionState) -> None:
    """After the grace the same user takes a new seat; everyone sees them leave and come."""
    await session.open()
    await session.join(ANA)
    await session.leave(ANA, "lost")
    await session.heard()
    await session.pass_time(GRACE)
    assert (await session.join(ANA))[:2] == [b"joined", 3]
    assert await session.heard() == [left(2, ANA, 0, "lost"), joined(3, ANA, 1)]


async def test_coming_back_within_the_grace_finds_the_seat(session: SessionState) -> None:
    """While the grace has not passed the seat is still there."""
    await session.open()
    await session.join(ANA)
    await session.leave(ANA, "lost")
    await session.pass_time(GRACE // 3)
    assert (await session.join(ANA))[:2] == [b"again", 1]


async def test_joining_frees_overdue_seats_of_other_sessions(
    session: SessionState, link: Link, scripts: Scripts, channel: ChannelRecorder
) -> None:
    """Every overdue seat of the partition is freed, in its own session."""
    other = SessionState(link, scripts, channel, OTHER_SESSION)
    await session.open()
    await other.open()
    await other.join(BEN)
    await other.leave(BEN, "lost")
    await other.heard()
    await session.pass_time(GRACE)
    await session.join(ANA)
    assert await other.heard() == [left(2, BEN, 0, "lost")]
    assert (await other.seats(), await session.away()) == ({}, {})
    assert await other.expiring() == {"", ":log"}


async def test_joining_forgets_overdue_entries_without_a_seat(session: SessionState) -> None:
    """An entry whose seat is gone, or is held again, is dropped without an event."""
    await session.open()
    await session.join(ANA)
    await session.redis("ZADD", "seance:{3}:away", 1, session.member(ANA), 1, session.member(CAT))
    await session.heard()
    assert (await session.join(BEN))[0] == b"joined"
    assert await session.away() == {}
    assert set(await session.seats()) == {ANA, BEN}
    assert await session.heard() == [joined(2, BEN, 2)]


async def test_joining_frees_at_most_100_overdue_seats(session: SessionState) -> None:
    """One join frees at most 100 seats, those that are due first."""
    await session.open(max_users=200)
    for number in range(101):
        user = f"u{number}"
        await session.join(user, name=user, connection=user)
        await session.leave(user, "lost", connection=user)
    for number in range(101):
        await session.redis("ZADD", f"{PART}away", number, session.member(f"u{number}"))
    await session.join(ANA)
    assert set(await session.seats()) == {"u100", ANA}
    assert set(await session.away()) == {session.member("u100")}


async def test_a_gateway_without_a_lease_holds_no_seats(session: SessionState) -> None:
    """Without a lease no gateway could free its seats, so a join is refused."""
    await session.open()
    await session.join(ANA, gateway="gw-1")
    await session.redis("ZREM", PART + "gateways", "gw-1")
    reply = await session._seats("join", BEN, "{}", "ben", "gw-1", "c-2", TS)
    assert reply == [b"unleased"]
    assert set(await session.redis("HKEYS", f"{session.key}:users")) == {ANA.encode()}
