"""`leave.lua` and `remove.lua`, branch by branch."""

import pytest

from tests.session_state import ANA, BEN, GRACE, KEPT, Hot, bodies, left, user_json


async def test_left(hot: Hot) -> None:
    """The seat and the name are free at once; log, stream and channel tell why."""
    await hot.open()
    await hot.join(ANA)
    await hot.join(BEN)
    await hot.heard()
    assert await hot.leave(ANA) == 1
    assert set(await hot.seats()) == {BEN}
    assert await hot.names() == {"ben": BEN}
    assert await hot.held_by("gw-1") == {hot.member(BEN)}
    assert await hot.heard() == [left(3, ANA, 1)]
    assert (await hot.log())["3-0"] == left(3, ANA, 1)
    assert (await hot.recorded())[2:] == bodies(left(3, ANA, 1))
    assert await hot.expiring() == set()


async def test_the_last_one_leaves(hot: Hot) -> None:
    """An empty session's hot state goes away by itself after the idle time, all of it together."""
    await hot.open(BEN)
    await hot.join(ANA)
    assert await hot.leave(ANA) == 1
    assert await hot.keys() == {"", ":log", ":removed", "events"}
    assert await hot.expiring() == {"", ":log", ":removed"}


async def test_lost(hot: Hot) -> None:
    """A seat whose connection broke is kept for the grace time: nobody is told, the gateway holds it no more."""
    await hot.open()
    await hot.join(ANA)
    await hot.heard()
    assert await hot.leave(ANA, "lost") == 2
    assert (await hot.seats())[ANA]["s"] == "away"
    assert await hot.away() == {hot.member(ANA): KEPT}
    assert await hot.names() == {"ana": ANA}
    assert await hot.held_by("gw-1") == set()
    assert (await hot.heard(), (await hot.hash())["seq"]) == ([], "1")
    assert await hot.expiring() == set()


async def test_lost_without_grace(hot: Hot) -> None:
    """With a grace time of 0 the seat is free at once, and the reason says that the connection was lost."""
    await hot.open()
    await hot.join(ANA)
    await hot.heard()
    assert await hot.leave(ANA, "lost", grace=0) == 1
    assert (await hot.seats(), await hot.away()) == ({}, {})
    assert await hot.heard() == [left(2, ANA, 0, "lost")]


async def test_left_while_away(hot: Hot) -> None:
    """A user may still give up the seat that was kept for them; its deadline is forgotten."""
    await hot.open()
    await hot.join(ANA)
    await hot.leave(ANA, "lost")
    assert await hot.leave(ANA) == 1
    assert (await hot.seats(), await hot.away()) == ({}, {})


async def test_lost_told_twice(hot: Hot) -> None:
    """Telling again, since the first answer was lost, leaves one seat away with the later deadline."""
    await hot.open()
    await hot.join(ANA)
    await hot.leave(ANA, "lost")
    await hot.pass_time(GRACE)
    assert await hot.leave(ANA, "lost") == 2
    assert await hot.away() == {hot.member(ANA): KEPT}


@pytest.mark.parametrize("reason", ["left", "lost"])
async def test_a_connection_that_was_replaced_changes_nothing(hot: Hot, reason: str) -> None:
    """Only the connection that holds the seat can give it up."""
    await hot.open()
    await hot.join(ANA)
    await hot.join(ANA, connection="c-2")
    await hot.heard()
    before = await hot.seats(), await hot.names(), await hot.held_by("gw-1")
    assert await hot.leave(ANA, reason, connection="c-1") == 0
    assert (await hot.seats(), await hot.names(), await hot.held_by("gw-1")) == before
    assert (await hot.heard(), await hot.away()) == ([], {})


@pytest.mark.parametrize("is_open", [True, False])
async def test_no_seat(hot: Hot, is_open: bool) -> None:
    """Who has no seat can't give one up, whether the session is hot or not."""
    if is_open:
        await hot.open()
    assert await hot.leave(ANA) == 0
    assert await hot.keys() == ({""} if is_open else set())


async def test_left_under_summary_presence(hot: Hot) -> None:
    """The channel gets the number that remains, the worker the whole event; no seq is spent."""
    await hot.open(presence="summary")
    await hot.join(ANA)
    await hot.heard()
    assert await hot.leave(ANA) == 1
    assert await hot.heard() == ["0 p -\n0"]
    assert "seq" not in (await hot.recorded())[1]
    assert (await hot.recorded())[1]["data"]["reason"] == "left"
    assert ((await hot.hash())["seq"], await hot.log()) == ("0", {})


async def test_remove_unknown(hot: Hot) -> None:
    """Without hot state nobody can be removed."""
    assert await hot.remove(ANA) == [b"unknown"]
    assert await hot.keys() == set()


async def test_remove_closed(hot: Hot) -> None:
    """From a closed session nobody can be removed."""
    await hot.open()
    await hot.join(ANA)
    await hot.close()
    assert await hot.remove(ANA) == [b"closed"]
    assert await hot.removed() == set()


async def test_remove_absent(hot: Hot) -> None:
    """Who has no seat is not removed, and may come."""
    await hot.open()
    assert await hot.remove(ANA) == [b"absent"]
    assert await hot.removed() == set()
    assert (await hot.join(ANA))[0] == b"joined"


async def test_remove(hot: Hot) -> None:
    """The seat is free, everyone is told by an event that names the user as removed, and they stay out."""
    await hot.open()
    await hot.join(ANA)
    await hot.join(BEN)
    await hot.heard()
    assert await hot.remove(ANA) == [b"removed", user_json(ANA).encode()]
    assert (set(await hot.seats()), await hot.names()) == ({BEN}, {"ben": BEN})
    assert (await hot.removed(), await hot.held_by("gw-1")) == ({ANA}, {hot.member(BEN)})
    assert await hot.heard() == [left(3, ANA, 1, "removed")]
    assert (await hot.recorded())[2:] == bodies(left(3, ANA, 1, "removed"))
    assert await hot.join(ANA) == [b"removed"]
    assert await hot.expiring() == set()


async def test_remove_the_last_one(hot: Hot) -> None:
    """A session that is empty now goes away after the idle time, the list of the removed with it."""
    await hot.open()
    await hot.join(ANA)
    await hot.remove(ANA)
    assert await hot.expiring() == {"", ":log", ":removed"}


async def test_remove_somebody_who_is_away(hot: Hot) -> None:
    """A seat that is only kept goes too, its deadline with it."""
    await hot.open()
    await hot.join(ANA)
    await hot.leave(ANA, "lost")
    assert (await hot.remove(ANA))[0] == b"removed"
    assert (await hot.seats(), await hot.away()) == ({}, {})


async def test_remove_under_summary_presence(hot: Hot) -> None:
    """No event tells of it, so a line of its own names the user, before the number that remains."""
    await hot.open(presence="summary")
    await hot.join(ANA)
    await hot.heard()
    assert (await hot.remove(ANA))[0] == b"removed"
    assert await hot.heard() == [f"0 r {ANA}\n", "0 p -\n0"]
    assert (await hot.recorded())[1]["data"]["reason"] == "removed"
    assert await hot.log() == {}
