"""`fence.lua`, branch by branch."""

import asyncio

import pytest

from tests.session_state import ANA, BEN, EPOCH, GRACE, KEPT, Hot

STARTS = [(41, 2_000_000), (999_999, 2_000_000), (1_000_000, 3_000_000), (5_700_000, 7_000_000)]


@pytest.mark.parametrize(("seen", "start"), STARTS)
async def test_redis_is_behind(hot: Hot, seen: int, start: int) -> None:
    """The session gets another epoch and a seq more than a million above what was handed out; its log goes."""
    await hot.open()
    await hot.publish()
    assert await hot.fence(seen) == 1
    state = await hot.hash()
    assert (state["epoch"], state["seq"], state["persisted"]) == ("new", str(start), "0")
    assert await hot.log() == {}
    assert await hot.publish() == start + 1
    assert list(await hot.log()) == [f"{start + 1}-0"]


async def test_redis_has_come_as_far(hot: Hot) -> None:
    """Nothing is changed when nothing is missing."""
    await hot.open()
    await hot.publish()
    before = await hot.hash()
    assert await hot.fence(1) == 0
    assert (await hot.hash(), list(await hot.log())) == (before, ["1-0"])


async def test_redis_holds_something_else(hot: Hot) -> None:
    """When Redis has gone on from an older state, the new epoch lies above what it gave meanwhile too."""
    await hot.open(seq=2_999_999)
    await hot.publish()
    assert await hot.fence(41, is_rewritten=True) == 1
    assert (await hot.hash())["seq"] == "5000000"


async def test_another_epoch(hot: Hot) -> None:
    """Whoever comes second finds the epoch changed, and changes nothing."""
    await hot.open()
    assert await asyncio.gather(*(hot.fence(41, new=new) for new in ("a", "b"))) == [1, 0]
    assert await hot.fence(41, is_rewritten=True) == 0
    state = await hot.hash()
    assert (state["epoch"], state["seq"]) == ("a", "2000000")


async def test_no_hot_state(hot: Hot) -> None:
    """A session that Redis does not know is left to `open`."""
    assert await hot.fence(41) == 0
    assert await hot.keys() == set()


async def test_seats_have_the_grace_time(hot: Hot) -> None:
    """Users stay; who comes back is the same user, and a seat that nobody comes back to is freed after the grace."""
    await hot.open()
    await hot.join(ANA)
    await hot.join(BEN)
    assert await hot.fence(41) == 1
    assert {seat["s"] for seat in (await hot.seats()).values()} == {"away"}
    assert await hot.held_by("gw-1") == set()
    again = await hot.join(ANA, connection="c-2")
    assert again[:3] == [b"again", 2_000_000, b"new"]
    assert await hot.away() == {hot.member(BEN): KEPT}
    await hot.pass_time(GRACE)
    await hot.reap()
    assert list(await hot.seats()) == [ANA]


async def test_what_waits_for_the_worker_stays(hot: Hot) -> None:
    """Events that Postgres has not seen yet keep their epoch and seq."""
    await hot.open()
    await hot.publish()
    await hot.fence(41)
    await hot.publish()
    assert [(entry["e"], entry["d"]["seq"]) for entry in await hot.stream()] == [(EPOCH, 1), ("new", 2_000_001)]
