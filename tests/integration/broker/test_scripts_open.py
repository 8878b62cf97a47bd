"""`open.lua`, branch by branch."""

from tests.session_state import ANA, BEN, EPOCH, IDLE_SECONDS, SessionState


async def test_opening_stores_fields_epoch_and_first_seq(session: SessionState) -> None:
    """The session's fields, its epoch and where its seq starts are kept, until it was idle for long."""
    assert await session.open(max_users=9, seq=41) == 1
    assert await session.hash() == {
        "epoch": EPOCH,
        "seq": "41",
        "persisted": "41",
        "idle_seconds": str(IDLE_SECONDS),
        "presence": "full",
        "max_users": "9",
        "log_events": "512",
        "is_active": "1",
    }
    assert await session.keys() == {""}
    assert await session.expiring() == {""}
    assert await session.heard() == []


async def test_opening_keeps_removed_users_out(session: SessionState) -> None:
    """Users that were removed before the session was loaded stay out, as long as it is session."""
    assert await session.open(ANA, BEN) == 1
    assert await session.removed() == {ANA, BEN}
    assert await session.join(ANA) == [b"removed"]
    assert await session.expiring() == {"", ":removed"}


async def test_opening_a_hot_session_changes_nothing(session: SessionState) -> None:
    """Opening a second time changes nothing."""
    await session.open()
    await session.join(ANA)
    before = await session.hash(), await session.log(), await session.seats()
    assert await session.open(BEN, epoch="other", seq=999, max_users=1) == 0
    assert (await session.hash(), await session.log(), await session.seats()) == before
    assert await session.removed() == set()
    assert await session.expiring() == set()


async def test_opening_clears_an_earlier_state(session: SessionState) -> None:
    """When Redis lost the session's hash alone, its log, seats, names and removed users go as well."""
    await session.open(BEN)
    await session.join(ANA)
    await session.redis("DEL", session.key)
    assert await session.open(seq=7, epoch="new") == 1
    assert (await session.log(), await session.seats(), await session.names(), await session.removed()) == (
        {},
        {},
        {},
        set(),
    )
    assert (await session.hash())["epoch"] == "new"
    assert await session.expiring() == {""}
