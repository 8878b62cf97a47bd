"""`join.lua`, branch by branch."""

import pytest

from tests.session_state import (
    ANA,
    BEN,
    CAT,
    EPOCH,
    GRACE,
    PART,
    SessionState,
    bodies,
    joined,
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
    await session.publish(kind="e", user="-")
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


async def test_a_name_is_taken_while_one_of_its_keys_is(session: SessionState) -> None:
    """One key in common is enough; a seat that is freed frees every key of its name."""
    await session.open()
    await session.join(ANA, keys=("1lan", "2Ian", "3ian"))
    assert await session.names() == {"1lan": ANA, "2Ian": ANA, "3ian": ANA}
    assert await session.join(BEN, keys=("1other", "2Ian", "3other")) == [b"taken"]
    await session.leave(ANA)
    assert await session.names() == {}


async def test_a_key_without_a_seat_is_free(session: SessionState) -> None:
    """A gateway of an older version frees a seat with the first key only: the other keys block nobody."""
    await session.open()
    await session.join(ANA, keys=("1ana", "2Ana"))
    await session.redis("HDEL", f"{session.key}:users", ANA)
    assert (await session.join(BEN, keys=("1ana", "2Ana")))[0] == b"joined"
    assert await session.names() == {"1ana": BEN, "2Ana": BEN}


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


async def test_coming_back_within_the_grace_finds_the_seat(session: SessionState) -> None:
    """While the grace has not passed the seat is still there."""
    await session.open()
    await session.join(ANA)
    await session.leave(ANA, "lost")
    await session.pass_time(GRACE // 3)
    assert (await session.join(ANA))[:2] == [b"again", 1]


async def test_a_gateway_without_a_lease_holds_no_seats(session: SessionState) -> None:
    """Without a lease no gateway could free its seats, so a join is refused."""
    await session.open()
    await session.join(ANA)
    await session.redis("ZREM", PART + "gateways", "gw-1")
    assert await session.join(BEN, connection="c-2", is_granted=False) == [b"unleased"]
    assert set(await session.seats()) == {ANA}


async def test_a_join_of_a_connection_that_was_given_up_takes_no_seat(session: SessionState) -> None:
    """A join that arrives after the gateway's next connection is refused: its user was told that the join failed."""
    await session.open()
    await session.renew("gw-1", link=2, is_taken=True)
    assert await session.join(ANA, link=1) == [b"unleased"]
    assert await session.seats() == {}
    assert (await session.join(ANA, link=2))[0] == b"joined"


async def test_a_join_frees_no_seat_of_others(session: SessionState) -> None:
    """Only reaping, which looks whether time has jumped, frees seats whose grace has passed."""
    await session.open(max_users=2)
    await session.join(ANA)
    await session.join(BEN, connection="c-2")
    await session.leave(ANA, "lost")
    await session.pass_time(GRACE)
    await session.heard()
    assert await session.join(CAT) == [b"full"]
    assert (await session.join(ANA))[0] == b"again"
    assert await session.heard() == []


@pytest.mark.parametrize("presence", ["full", "summary"])
async def test_a_full_backlog_refuses_new_users_only(session: SessionState, presence: str) -> None:
    """While too many entries wait for Postgres nobody new comes in; who has a seat comes back, and leaves."""
    await session.open(presence=presence)
    await session.join(ANA)
    await session.heard()
    assert await session.join(BEN, max_backlog=1) == [b"backlog"]
    assert (set(await session.seats()), await session.names(), await session.heard()) == ({ANA}, {"ana": ANA}, [])
    assert (await session.join(ANA, connection="c-2", max_backlog=1))[0] == b"again"
    assert await session.leave(ANA, connection="c-2") == 1
    assert (await session.join(BEN, max_backlog=3))[0] == b"joined"
