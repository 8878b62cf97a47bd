"""`close.lua`, branch by branch."""

from tests.session_state import ANA, BEN, SessionState, bodies, closed


async def test_closing_an_unknown_session_is_refused(session: SessionState) -> None:
    """Without hot state there is nothing to close."""
    assert await session.close() == b"unknown"
    assert await session.keys() == set()


async def test_closing_frees_every_seat_and_lets_nobody_in(session: SessionState) -> None:
    """The last event goes out, all seats are free, those kept for somebody too, and nobody gets in any more."""
    await session.open()
    await session.join(ANA)
    await session.join(BEN, gateway="gw-2", connection="c-2")
    await session.leave(BEN, "lost", connection="c-2")
    await session.heard()
    assert await session.close() == 3
    assert await session.heard() == [closed(3)]
    assert (await session.log())["3-0"] == closed(3)
    assert (await session.recorded())[2:] == bodies(closed(3))
    assert (await session.hash())["is_active"] == "0"
    assert await session.keys() == {"", ":log", "events"}
    assert await session.expiring() == {"", ":log"}
    assert await session.join(ANA) == [b"closed"]


async def test_closing_twice_changes_nothing(session: SessionState) -> None:
    """Closing again tells the same seq and changes nothing."""
    await session.open()
    await session.publish()
    assert await session.close() == 2
    await session.heard()
    before = await session.log(), await session.recorded()
    assert await session.close() == 2
    assert (await session.log(), await session.recorded(), await session.heard()) == (*before, [])


async def test_a_closed_session_keeps_whom_the_host_removed(session: SessionState) -> None:
    """The list goes away with the rest, not before."""
    await session.open(BEN)
    await session.join(ANA)
    await session.close()
    assert (await session.removed(), await session.expiring()) == ({BEN}, {"", ":log", ":removed"})
