"""`leave.lua` and `remove.lua`, branch by branch."""

import pytest

from tests.session_state import ANA, BEN, GRACE, KEPT, TS, SessionState, bodies, left, user_json


async def test_leaving_frees_seat_and_name_at_once(session: SessionState) -> None:
    """The seat and the name are free at once; log, stream and channel tell why."""
    await session.open()
    await session.join(ANA)
    await session.join(BEN)
    await session.heard()
    assert await session.leave(ANA) == 1
    assert set(await session.seats()) == {BEN}
    assert await session.names() == {"ben": BEN}
    assert await session.held_by("gw-1") == {session.member(BEN)}
    assert await session.heard() == [left(3, ANA, 1)]
    assert (await session.log())["3-0"] == left(3, ANA, 1)
    assert (await session.recorded())[2:] == bodies(left(3, ANA, 1))
    assert await session.expiring() == set()


async def test_an_empty_session_expires_after_the_idle_time(session: SessionState) -> None:
    """An empty session's hot state goes away by itself after the idle time, all of it together."""
    await session.open(BEN)
    await session.join(ANA)
    assert await session.leave(ANA) == 1
    assert await session.keys() == {"", ":log", ":removed", "events"}
    assert await session.expiring() == {"", ":log", ":removed"}


async def test_a_lost_connection_keeps_the_seat_for_the_grace_time(session: SessionState) -> None:
    """A seat whose connection broke is kept for the grace time: nobody is told, the gateway holds it no more."""
    await session.open()
    await session.join(ANA)
    await session.heard()
    assert await session.leave(ANA, "lost") == 2
    assert (await session.seats())[ANA]["s"] == "away"
    assert await session.away() == {session.member(ANA): KEPT}
    assert await session.names() == {"ana": ANA}
    assert await session.held_by("gw-1") == set()
    assert (await session.heard(), (await session.hash())["seq"]) == ([], "1")
    assert await session.expiring() == set()


async def test_a_lost_connection_without_grace_frees_the_seat(session: SessionState) -> None:
    """With a grace time of 0 the seat is free at once, and the reason says that the connection was lost."""
    await session.open()
    await session.join(ANA)
    await session.heard()
    assert await session.leave(ANA, "lost", grace=0) == 1
    assert (await session.seats(), await session.away()) == ({}, {})
    assert await session.heard() == [left(2, ANA, 0, "lost")]


async def test_a_user_who_is_away_may_leave(session: SessionState) -> None:
    """A user may still give up the seat that was kept for them; its deadline is forgotten."""
    await session.open()
    await session.join(ANA)
    await session.leave(ANA, "lost")
    assert await session.leave(ANA) == 1
    assert (await session.seats(), await session.away()) == ({}, {})


async def test_a_loss_told_twice_does_not_prolong_the_grace(session: SessionState) -> None:
    """Telling again, since the first answer was lost, or telling late, leaves the first deadline."""
    await session.open()
    await session.join(ANA)
    await session.leave(ANA, "lost")
    await session.pass_time(GRACE)
    assert await session.leave(ANA, "lost") == 2
    assert (await session.away())[session.member(ANA)] <= 0


@pytest.mark.parametrize("reason", ["left", "lost"])
async def test_a_connection_that_was_replaced_changes_nothing(session: SessionState, reason: str) -> None:
    """Only the connection that holds the seat can give it up."""
    await session.open()
    await session.join(ANA)
    await session.join(ANA, connection="c-2")
    await session.heard()
    before = await session.seats(), await session.names(), await session.held_by("gw-1")
    assert await session.leave(ANA, reason, connection="c-1") == 0
    assert (await session.seats(), await session.names(), await session.held_by("gw-1")) == before
    assert (await session.heard(), await session.away()) == ([], {})


@pytest.mark.parametrize("is_open", [True, False])
async def test_leaving_without_a_seat_changes_nothing(session: SessionState, is_open: bool) -> None:
    """A user without a seat can't give one up, in a hot session or an unknown one."""
    if is_open:
        await session.open()
    assert await session.leave(ANA) == 0
    assert await session.keys() == ({""} if is_open else set())


async def test_leaving_under_summary_presence_tells_the_number(session: SessionState) -> None:
    """The channel gets the number that remains, the worker the whole event; no seq is spent."""
    await session.open(presence="summary")
    await session.join(ANA)
    await session.heard()
    assert await session.leave(ANA) == 1
    assert await session.heard() == ["0 p -\n0"]
    assert "seq" not in (await session.recorded())[1]
    assert (await session.recorded())[1]["data"]["reason"] == "left"
    assert ((await session.hash())["seq"], await session.log()) == ("0", {})


async def test_removing_from_an_unknown_session_is_refused(session: SessionState) -> None:
    """Without hot state no user can be removed."""
    assert await session.remove(ANA) == [b"unknown"]
    assert await session.keys() == set()


async def test_removing_from_a_closed_session_is_refused(session: SessionState) -> None:
    """From a closed session no user can be removed."""
    await session.open()
    await session.join(ANA)
    await session.close()
    assert await session.remove(ANA) == [b"closed"]
    assert await session.removed() == set()


async def test_removing_a_user_without_a_seat_changes_nothing(session: SessionState) -> None:
    """A user without a seat is not removed, and may join."""
    await session.open()
    assert await session.remove(ANA) == [b"absent"]
    assert await session.removed() == set()
    assert (await session.join(ANA))[0] == b"joined"


@pytest.mark.parametrize("presence", ["full", "summary"])
async def test_a_user_who_has_left_is_removed_quietly(session: SessionState, presence: str) -> None:
    """Who was in the session before is removed without a seat: the channel hears nothing, Postgres learns it, once."""
    await session.open(presence=presence)
    await session.join(ANA)
    await session.leave(ANA)
    await session.heard()
    before = await session.hash()
    for _ in range(2):
        assert await session.remove(ANA, earlier=user_json(ANA)) == [b"removed", user_json(ANA).encode()]
    assert (await session.removed(), await session.heard(), await session.hash()) == ({ANA}, [], before)
    data = {"user": {"id": ANA, "name": "Ana"}, "user_count": 0, "reason": "removed"}
    assert (await session.recorded())[2:] == [{"type": "user_left", "ts": TS, "data": data}]
    assert await session.expiring() == {"", ":removed"} | ({":log"} if presence == "full" else set())
    assert await session.join(ANA) == [b"removed"]


async def test_a_user_who_came_back_is_removed_with_the_seat(session: SessionState) -> None:
    """A user who was looked up as one who has left, and is back by now, loses the seat as usual."""
    await session.open()
    await session.join(ANA)
    await session.heard()
    assert (await session.remove(ANA, earlier=user_json(ANA)))[0] == b"removed"
    assert (await session.seats(), await session.heard()) == ({}, [left(2, ANA, 0, "removed")])


async def test_removing_a_user_frees_the_seat_and_keeps_them_out(session: SessionState) -> None:
    """The seat is free, everyone is told by an event that names the user as removed, and they stay out."""
    await session.open()
    await session.join(ANA)
    await session.join(BEN)
    await session.heard()
    assert await session.remove(ANA) == [b"removed", user_json(ANA).encode()]
    assert (set(await session.seats()), await session.names()) == ({BEN}, {"ben": BEN})
    assert (await session.removed(), await session.held_by("gw-1")) == ({ANA}, {session.member(BEN)})
    assert await session.heard() == [left(3, ANA, 1, "removed")]
    assert (await session.recorded())[2:] == bodies(left(3, ANA, 1, "removed"))
    assert await session.join(ANA) == [b"removed"]
    assert await session.expiring() == set()


async def test_removing_the_last_user_starts_the_idle_time(session: SessionState) -> None:
    """A session that is empty now goes away after the idle time, the list of the removed with it."""
    await session.open()
    await session.join(ANA)
    await session.remove(ANA)
    assert await session.expiring() == {"", ":log", ":removed"}


async def test_removing_a_user_who_is_away_frees_the_kept_seat(session: SessionState) -> None:
    """A seat that is only kept goes too, its deadline with it."""
    await session.open()
    await session.join(ANA)
    await session.leave(ANA, "lost")
    assert (await session.remove(ANA))[0] == b"removed"
    assert (await session.seats(), await session.away()) == ({}, {})


async def test_removing_under_summary_presence_names_the_user(session: SessionState) -> None:
    """No event tells of it, so a line of its own names the user, before the number that remains."""
    await session.open(presence="summary")
    await session.join(ANA)
    await session.heard()
    assert (await session.remove(ANA))[0] == b"removed"
    assert await session.heard() == [f"0 r {ANA}\n", "0 p -\n0"]
    assert (await session.recorded())[1]["data"]["reason"] == "removed"
    assert await session.log() == {}
