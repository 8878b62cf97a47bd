"""`reconcile.lua`, branch by branch: what Postgres knows wins over what a Redis that lost data holds."""

import pytest

from tests.session_state import ANA, BEN, CAT, SessionState, bodies, closed, joined, left


async def everything(session: SessionState) -> object:
    """What Redis holds of the session."""
    return await session.hash(), await session.log(), await session.seats(), await session.removed()


async def test_a_redis_that_lost_nothing_is_left_as_it_is(session: SessionState) -> None:
    """A session that holds all that Postgres knows, and more, is not changed."""
    await session.open(CAT)
    await session.join(ANA)
    await session.publish()
    before = await everything(session)
    for seq in (0, 1, 2):
        assert await session.reconcile(seq, CAT) == [0, 0, 0]
    assert await everything(session) == before


async def test_a_written_seq_is_not_given_again(session: SessionState) -> None:
    """A session behind Postgres goes on in a new epoch, above every seq that was given; its users have their grace."""
    await session.open()
    await session.join(ANA)
    assert await session.reconcile(7) == [1, 0, 0]
    assert (await session.hash())["epoch"] == "new"
    assert await session.publish() == 2_000_001
    assert {seat["s"] for seat in (await session.seats()).values()} == {"away"}


@pytest.mark.parametrize("written", [0, 1, 7])
async def test_a_closed_session_stays_closed(session: SessionState, written: int) -> None:
    """The close is made good in a new epoch: its seat are freed, everyone is told, nobody joins or publishes."""
    await session.open()
    await session.join(ANA)
    await session.heard()
    assert await session.reconcile(written, is_active=0) == [1, 0, 1]
    assert await session.heard() == [closed(2_000_001)]
    assert (await session.hash())["is_active"] == "0"
    assert (await session.seats(), await session.names(), await session.held_by("gw-1")) == ({}, {}, set())
    assert (await session.join(BEN), await session.publish(user="-")) == ([b"closed"], b"closed")
    assert (await session.stream())[-1]["e"] == "new"
    assert await session.reconcile(written, is_active=0) == [0, 0, 0]


async def test_a_session_that_is_closed_here_too_keeps_its_epoch(session: SessionState) -> None:
    """A close that Redis holds is not repeated."""
    await session.open()
    await session.close()
    before = await everything(session)
    assert await session.reconcile(1, is_active=0) == [0, 0, 0]
    assert await everything(session) == before


@pytest.mark.parametrize("presence", ["full", "summary"])
async def test_a_removed_user_stays_out(session: SessionState, presence: str) -> None:
    """A removed user who has the seat again loses it, and everyone is told; one without a seat is only kept out."""
    await session.open(presence=presence)
    await session.join(ANA)
    await session.join(BEN)
    await session.heard()
    seq = int((await session.hash())["seq"])
    assert await session.reconcile(seq, ANA, CAT) == [0, 2, 0]
    assert await session.heard() == (
        [left(3, ANA, 1, "removed")] if presence == "full" else [f"0 r {ANA}\n", "0 p -\n1"]
    )
    assert (await session.removed(), list(await session.seats())) == ({ANA, CAT}, [BEN])
    assert (await session.join(ANA), await session.join(CAT)) == ([b"removed"], [b"removed"])
    assert await session.reconcile(seq, ANA, CAT) == [0, 0, 0]


async def test_a_removal_is_made_good_in_the_new_epoch(session: SessionState) -> None:
    """When Redis is behind too, the removal is announced after the fence."""
    await session.open()
    await session.join(ANA)
    assert await session.heard() == [joined(1, ANA, 1)]
    assert await session.reconcile(2, ANA) == [1, 1, 0]
    assert await session.heard() == [left(2_000_001, ANA, 0, "removed")]
    assert [event["type"] for event in bodies(*(await session.log()).values())] == ["user_left"]
    assert (await session.seats(), await session.away()) == ({}, {})


async def test_what_is_kept_of_an_empty_session_still_expires(session: SessionState) -> None:
    """Removed users that are put back expire with the session's hot state."""
    await session.open()
    assert await session.reconcile(0, ANA) == [0, 1, 0]
    assert await session.expiring() == {"", ":removed"}


async def test_a_session_that_redis_does_not_hold_is_not_made(session: SessionState) -> None:
    """A session without hot state is left to `open`, which asks Postgres too."""
    assert await session.reconcile(7, ANA, is_active=0) == [0, 0, 0]
    assert await session.keys() == set()


@pytest.mark.parametrize("is_active", [0, 1])
async def test_a_session_is_reconciled_with_a_full_memory(session: SessionState, is_active: int) -> None:
    """A worker that has to make a session agree with Postgres is not held up until Redis has memory again."""
    await session.open()
    await session.join(ANA)
    async with session.full_memory():
        assert await session.reconcile(1, ANA, CAT, is_active=is_active) == [1 - is_active, 2, 1 - is_active]
    assert (await session.removed(), await session.seats()) == ({ANA, CAT}, {})
    assert await session.expiring() >= {"", ":removed"}
