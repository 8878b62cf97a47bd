"""`open.lua`, branch by branch."""

from tests.session_state import ANA, BEN, EPOCH, IDLE_SECONDS, Hot


async def test_opens_what_was_not_hot(hot: Hot) -> None:
    """The session's fields, its epoch and where its seq starts are kept, until it was idle for long."""
    assert await hot.open(max_users=9, seq=41) == 1
    assert await hot.hash() == {
        "epoch": EPOCH,
        "seq": "41",
        "persisted": "41",
        "idle_seconds": str(IDLE_SECONDS),
        "presence": "full",
        "max_users": "9",
        "log_events": "512",
        "is_active": "1",
    }
    assert await hot.keys() == {""}
    assert await hot.expiring() == {""}
    assert await hot.heard() == []


async def test_knows_whom_the_host_removed(hot: Hot) -> None:
    """Users that were removed before the session was loaded stay out, as long as it is hot."""
    assert await hot.open(ANA, BEN) == 1
    assert await hot.removed() == {ANA, BEN}
    assert await hot.join(ANA) == [b"removed"]
    assert await hot.expiring() == {"", ":removed"}


async def test_leaves_a_hot_session_alone(hot: Hot) -> None:
    """Opening a second time changes nothing."""
    await hot.open()
    await hot.join(ANA)
    before = await hot.hash(), await hot.log(), await hot.seats()
    assert await hot.open(BEN, epoch="other", seq=999, max_users=1) == 0
    assert (await hot.hash(), await hot.log(), await hot.seats()) == before
    assert await hot.removed() == set()
    assert await hot.expiring() == set()


async def test_clears_what_an_earlier_state_left_behind(hot: Hot) -> None:
    """When Redis lost the session's hash alone, its log, seats, names and removed users go as well."""
    await hot.open(BEN)
    await hot.join(ANA)
    await hot.redis("DEL", hot.key)
    assert await hot.open(seq=7, epoch="new") == 1
    assert (await hot.log(), await hot.seats(), await hot.names(), await hot.removed()) == ({}, {}, {}, set())
    assert (await hot.hash())["epoch"] == "new"
    assert await hot.expiring() == {""}
