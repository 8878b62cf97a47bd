"""`close.lua`, branch by branch."""

from tests.session_state import ANA, BEN, Hot, bodies, closed


async def test_unknown(hot: Hot) -> None:
    """Without hot state there is nothing to close."""
    assert await hot.close() == b"unknown"
    assert await hot.keys() == set()


async def test_closed(hot: Hot) -> None:
    """The last event goes out, all seats are free, those kept for somebody too, and nobody gets in any more."""
    await hot.open()
    await hot.join(ANA)
    await hot.join(BEN, gateway="gw-2", connection="c-2")
    await hot.leave(BEN, "lost", connection="c-2")
    await hot.heard()
    assert await hot.close() == 3
    assert await hot.heard() == [closed(3)]
    assert (await hot.log())["3-0"] == closed(3)
    assert (await hot.recorded())[2:] == bodies(closed(3))
    assert (await hot.hash())["is_active"] == "0"
    assert await hot.keys() == {"", ":log", "events"}
    assert await hot.expiring() == {"", ":log"}
    assert await hot.join(ANA) == [b"closed"]


async def test_closed_before(hot: Hot) -> None:
    """Closing again tells the same seq and changes nothing."""
    await hot.open()
    await hot.publish()
    assert await hot.close() == 2
    await hot.heard()
    before = await hot.log(), await hot.recorded()
    assert await hot.close() == 2
    assert (await hot.log(), await hot.recorded(), await hot.heard()) == (*before, [])


async def test_a_closed_session_keeps_whom_the_host_removed(hot: Hot) -> None:
    """The list goes away with the rest, not before."""
    await hot.open(BEN)
    await hot.join(ANA)
    await hot.close()
    assert (await hot.removed(), await hot.expiring()) == ({BEN}, {"", ":log", ":removed"})
