"""Bans: what `remove.lua` keeps out, and what `join.lua`, `open.lua` and `reconcile.lua` make of the bans."""

import pytest

from tests.session_state import ANA, BEN, CAT, SessionState, user_json

HOUR_MS = 3_600_000
HOME, WORK = "hash-of-home", "hash-of-work"


async def test_a_removed_name_gets_no_new_seat(session: SessionState) -> None:
    """Nobody comes in under the name of a removed person; another name does, and so does the host."""
    await session.open()
    await session.join(ANA, address=HOME)
    assert (await session.remove(ANA, ban_ms=HOUR_MS))[2:] == [b"name ana"]
    assert await session.join(BEN, name="ANA") == [b"banned"]
    assert (await session.join(BEN, address=HOME))[0] == b"joined"
    assert (await session.join(CAT, name="Ana", is_exempt=True))[0] == b"joined"
    assert await session.bans() == {"name ana": HOUR_MS}


async def test_a_removed_address_gets_no_new_seat(session: SessionState) -> None:
    """With addresses banned, no new seat is given from any of them; who has a seat keeps the seat."""
    await session.open()
    await session.join(ANA, address=HOME)
    await session.join(ANA, address=WORK, connection="c-2")
    await session.join(BEN, address=HOME)
    reply = await session.remove(ANA, ban_ms=HOUR_MS, with_addresses=True)
    assert reply[2:] == [b"name ana", b"address hash-of-home", b"address hash-of-work"]
    assert await session.join(CAT, address=HOME) == [b"banned"]
    assert await session.join(CAT, address=WORK) == [b"banned"]
    assert (await session.join(BEN, address=HOME, connection="c-3"))[0] == b"again"
    assert (await session.join(CAT, address="elsewhere"))[0] == b"joined"


async def test_a_name_that_looks_like_a_banned_one_is_banned(session: SessionState) -> None:
    """Each key of the removed person's name is banned, so one common key is enough."""
    await session.open()
    await session.join(ANA, keys=["1ana", "2Ana"])
    assert (await session.remove(ANA, ban_ms=HOUR_MS))[2:] == [b"name 1ana", b"name 2Ana"]
    assert await session.join(BEN, keys=["1\u0430na", "2Ana"]) == [b"banned"]
    assert (await session.join(BEN, keys=["1ben", "2Ben"]))[0] == b"joined"


async def test_who_has_just_left_is_banned_too(session: SessionState) -> None:
    """The name comes from Postgres; the addresses are kept for a minute after the user has left."""
    await session.open()
    await session.join(ANA, address=HOME)
    await session.leave(ANA)
    assert 0 < await session.redis("PTTL", f"{session.key}:left:{ANA}") <= 60_000
    reply = await session.remove(ANA, earlier=user_json(ANA), ban_ms=HOUR_MS, with_addresses=True)
    assert reply[2:] == [b"name ana", b"address hash-of-home"]
    assert await session.join(BEN, name="Ana") == [b"banned"]


async def test_no_more_than_sixteen_addresses_of_a_user_are_kept(session: SessionState) -> None:
    """The newest addresses are kept with the seat, each once."""
    await session.open()
    for number in (*range(20), 19):
        await session.join(ANA, address=f"a{number}")
    assert (await session.seats())[ANA]["a"] == [f"a{number}" for number in range(4, 20)]


async def test_a_ban_ends(session: SessionState) -> None:
    """After the ban the name is free, and the list goes away by itself."""
    await session.open()
    await session.join(ANA)
    await session.remove(ANA, ban_ms=HOUR_MS)
    assert HOUR_MS - 10_000 < await session.redis("PTTL", f"{session.key}:bans") <= HOUR_MS
    await session.redis("ZADD", f"{session.key}:bans", 1, "name ana")
    assert (await session.join(BEN, name="Ana"))[0] == b"joined"


async def test_without_a_length_nobody_is_banned(session: SessionState) -> None:
    """A length of 0 removes the user alone."""
    await session.open()
    await session.join(ANA, address=HOME)
    assert (await session.remove(ANA, with_addresses=True))[2:] == []
    assert (await session.join(BEN, name="Ana", address=HOME))[0] == b"joined"


@pytest.mark.parametrize("by", ["open", "reconcile"])
async def test_bans_that_postgres_knows_come_back(session: SessionState, by: str) -> None:
    """A session that is loaded again, or that Redis has lost something of, gets its bans back."""
    bans = {"name ana": HOUR_MS, f"address {HOME}": HOUR_MS // 2}
    if by == "open":
        await session.open(BEN, bans=bans)
    else:
        await session.open(bans={"name ana": 2 * HOUR_MS})
        assert await session.reconcile(0, BEN, bans=bans) == [0, 1, 0]
        bans["name ana"] = 2 * HOUR_MS
    assert await session.bans() == bans
    assert await session.removed() == {BEN}
    assert await session.join(ANA) == [b"banned"]


async def test_a_full_memory_does_not_hold_reconciling_up(session: SessionState) -> None:
    """A worker that makes Redis agree with Postgres can put bans back although the memory is full."""
    await session.open()
    async with session.full_memory():
        assert await session.reconcile(0, bans={"name ana": HOUR_MS}) == [0, 0, 0]
    assert await session.bans() == {"name ana": HOUR_MS}
