"""`fence.lua`, branch by branch."""

import asyncio

import pytest

from tests.session_state import ANA, BEN, EPOCH, GRACE, KEPT, SessionState

STARTS = [(41, 2_000_000), (999_999, 2_000_000), (1_000_000, 3_000_000), (5_700_000, 7_000_000)]


@pytest.mark.parametrize(("seen", "start"), STARTS)
async def test_a_redis_that_is_behind_gets_a_new_epoch(session: SessionState, seen: int, start: int) -> None:
    """The session gets another epoch and a seq more than a million above what was handed out; its log goes."""
    await session.open()
    await session.publish()
    assert await session.fence(seen) == 1
    state = await session.hash()
    assert (state["epoch"], state["seq"], state["persisted"]) == ("new", str(start), "0")
    assert await session.log() == {}
    assert await session.publish() == start + 1
    assert list(await session.log()) == [f"{start + 1}-0"]


async def test_a_redis_that_has_come_as_far_keeps_its_epoch(session: SessionState) -> None:
    """Nothing is changed when nothing is missing."""
    await session.open()
    await session.publish()
    before = await session.hash()
    assert await session.fence(1) == 0
    assert (await session.hash(), list(await session.log())) == (before, ["1-0"])


async def test_a_redis_with_other_events_gets_an_epoch_above_both(session: SessionState) -> None:
    """When Redis has gone on from an older state, the new epoch lies above what it gave meanwhile too."""
    await session.open(seq=2_999_999)
    await session.publish()
    assert await session.fence(41, is_rewritten=True) == 1
    assert (await session.hash())["seq"] == "5000000"


async def test_a_session_is_fenced_once(session: SessionState) -> None:
    """The second caller finds the epoch changed, and changes nothing."""
    await session.open()
    assert await asyncio.gather(*(session.fence(41, new=new) for new in ("a", "b"))) == [1, 0]
    assert await session.fence(41, is_rewritten=True) == 0
    state = await session.hash()
    assert (state["epoch"], state["seq"]) == ("a", "2000000")


async def test_fencing_an_unknown_session_changes_nothing(session: SessionState) -> None:
    """A session that Redis does not know is left to `open`."""
    assert await session.fence(41) == 0
    assert await session.keys() == set()


async def test_fencing_keeps_seats_for_the_grace_time(session: SessionState) -> None:
    """Users stay; who comes back is the same user, and a seat that nobody comes back to is freed after the grace."""
    await session.open()
    await session.join(ANA)
    await session.join(BEN)
    assert await session.fence(41) == 1
    assert {seat["s"] for seat in (await session.seats()).values()} == {"away"}
    assert await session.held_by("gw-1") == set()
    again = await session.join(ANA, connection="c-2")
    assert again[:3] == [b"again", 2_000_000, b"new"]
    assert await session.away() == {session.member(BEN): KEPT}
    await session.pass_time(GRACE)
    await session.reap()
    assert list(await session.seats()) == [ANA]


async def test_fencing_keeps_the_entries_for_the_worker(session: SessionState) -> None:
    """Events that Postgres has not seen yet keep their epoch and seq."""
    await session.open()
    await session.publish()
    await session.fence(41)
    await session.publish()
    assert [(entry["e"], entry["d"]["seq"]) for entry in await session.stream()] == [(EPOCH, 1), ("new", 2_000_001)]


async def test_a_session_is_fenced_with_a_full_memory(session: SessionState) -> None:
    """A Redis without memory left still gives the session another epoch, so that its room does not wait for memory."""
    await session.open()
    await session.join(ANA)
    async with session.full_memory():
        assert await session.fence(41) == 1
    assert (await session.hash())["epoch"] == "new"
    assert {seat["s"] for seat in (await session.seats()).values()} == {"away"}
