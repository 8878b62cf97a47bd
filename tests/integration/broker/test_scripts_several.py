"""Several connections of one user: `join`, `leave`, `remove`, `close` and `reap`, branch by branch."""

import json

import pytest

from tests.session_state import (
    ANA,
    BEN,
    EPOCH,
    GRACE,
    KEPT,
    KEYS,
    PART,
    PARTITION,
    SessionState,
    closed,
    joined,
    left,
    user_json,
)

MOST = 16


@pytest.fixture
async def several(session: SessionState) -> SessionState:
    """A session that allows them, with Ben in it."""
    await session.open(multiple_connections=1)
    await session.join(BEN, gateway="gw-9", connection="b")
    await session.heard()
    return session


async def connect(session: SessionState, *connections: str) -> None:
    """Connect Ana by these, `<connection>@<gateway>`, and forget what the channel brought."""
    for connection, _, gateway in (text.partition("@") for text in connections):
        await session.join(ANA, connection=connection, gateway=gateway)
    await session.heard()


async def held(session: SessionState) -> list[str]:
    """Ana's connections, the oldest first."""
    seat = (await session.seats())[ANA]
    return [f"{connection}@{gateway}" for connection, gateway in [*seat.get("m", []), [seat["c"], seat["g"]]]]


async def end_lease(session: SessionState, gateway: str, expiry: int = 1) -> None:
    """Let the gateway's lease be over."""
    await session.redis("ZADD", KEYS.gateways(PARTITION), expiry, gateway)


async def test_two_connections_of_a_user_share_one_seat(several: SessionState) -> None:
    """The second connection stands beside the first: one seat, one `user_joined`, nobody is replaced."""
    assert (await several.join(ANA, connection="1"))[:4] == [b"joined", 2, EPOCH.encode(), 2]
    assert (await several.join(ANA, connection="2", gateway="gw-2"))[:4] == [b"again", 2, EPOCH.encode(), 2]
    assert await several.heard() == [joined(2, ANA, 2)]
    assert await held(several) == ["1@gw-1", "2@gw-2"]
    assert await several.held_by("gw-1") == await several.held_by("gw-2") == {several.member(ANA)}


@pytest.mark.parametrize("option", [None, 0])
async def test_without_the_option_the_newest_connection_replaces(session: SessionState, option: int | None) -> None:
    """Without the option, as in a session that an older version opened, the newest connection replaces."""
    await session.open(multiple_connections=option)
    await connect(session, "1@gw-1", "2@gw-2")
    assert await held(session) == ["2@gw-2"]
    assert await session.held_by("gw-1") == set()


async def test_a_seat_is_full_whoever_connects(session: SessionState) -> None:
    """Several connections take one seat of `max_users`, and coming again needs none."""
    await session.open(multiple_connections=1, max_users=1)
    await connect(session, "1@gw-1", "2@gw-1", "3@gw-2")
    assert await session.join(BEN) == [b"full"]
    assert (await session.join(ANA, connection="4"))[:2] == [b"again", 1]


async def test_beyond_the_bound_the_oldest_is_replaced(several: SessionState) -> None:
    """A user has at most 16 connections; the oldest goes, and its gateway lets go when it has no other."""
    await connect(several, "0@gw-0", *(f"{number}@gw-1" for number in range(1, MOST)))
    await several.join(ANA, connection="16", gateway="gw-2")
    assert await several.heard() == [f"0 x {ANA}\n0"]
    assert await held(several) == [*(f"{number}@gw-1" for number in range(1, MOST)), "16@gw-2"]
    assert await several.held_by("gw-0") == set()
    await several.join(ANA, connection="17", gateway="gw-2")
    assert await several.heard() == [f"0 x {ANA}\n1"]
    assert await several.held_by("gw-1") == {several.member(ANA)}
    assert await several.leave(ANA, connection="0") == 0


@pytest.mark.parametrize("reason", ["left", "lost"])
@pytest.mark.parametrize(
    ("gone", "staying"), [("1", ["2@gw-2", "3@gw-2"]), ("2", ["1@gw-1", "3@gw-2"]), ("3", ["1@gw-1", "2@gw-2"])]
)
async def test_other_connections_keep_the_seat_when_one_ends(
    several: SessionState, reason: str, gone: str, staying: list[str]
) -> None:
    """Whichever ends, and however, the others keep the seat; nobody is told; its gateway holds what it still has."""
    await connect(several, "1@gw-1", "2@gw-2", "3@gw-2")
    assert await several.leave(ANA, reason, connection=gone) == 3
    assert await held(several) == staying
    assert (await several.heard(), await several.away()) == ([], {})
    is_held_by_first = any(connection.endswith("gw-1") for connection in staying)
    assert await several.held_by("gw-1") == ({several.member(ANA)} if is_held_by_first else set())
    assert await several.held_by("gw-2") == {several.member(ANA)}
    assert await several.leave(ANA, reason, connection=gone) == 0


async def test_the_user_leaves_with_the_last_connection(several: SessionState) -> None:
    """When the last connection leaves, so does the user, once; a seat with one connection is kept as any other."""
    await connect(several, "1@gw-1", "2@gw-2")
    await several.leave(ANA, connection="1")
    assert (await several.seats())[ANA] == {"n": "ana", "u": user_json(ANA), "g": "gw-2", "c": "2", "s": "here"}
    assert await several.leave(ANA, connection="2") == 1
    assert await several.heard() == [left(3, ANA, 1)]
    assert (set(await several.seats()), await several.names()) == ({BEN}, {"ben": BEN})
    assert await several.held_by("gw-1") == await several.held_by("gw-2") == set()


async def test_the_seat_has_grace_when_the_last_connection_breaks(several: SessionState) -> None:
    """When the last connection breaks, the seat has its grace; coming back then is not seen by others."""
    await connect(several, "1@gw-1", "2@gw-2")
    assert await several.leave(ANA, "lost", connection="1") == 3
    assert await several.leave(ANA, "lost", connection="2") == 2
    assert await several.held_by("gw-2") == set()
    assert list(await several.away()) == [several.member(ANA)]
    assert (await several.join(ANA, connection="3"))[0] == b"again"
    assert (await several.heard(), await several.away(), await held(several)) == ([], {}, ["3@gw-1"])


async def test_reaping_a_gateway_ends_only_its_own_connections(several: SessionState) -> None:
    """Reaping a gateway ends what it held; the user stays for what is connected elsewhere, and then leaves once."""
    await connect(several, "1@gw-1", "2@gw-2", "3@gw-1", "4@gw-3")
    await end_lease(several, "gw-1")
    assert await several.reap() == 1
    assert (await held(several), await several.heard()) == (["2@gw-2", "4@gw-3"], [])
    await end_lease(several, "gw-3")
    assert await several.reap() == 1
    assert (await held(several), await several.heard()) == (["2@gw-2"], [])
    await end_lease(several, "gw-2")
    assert await several.reap() == 1
    assert await several.heard() == [left(3, ANA, 1, "lost")]
    assert await several.reap() == 0


async def test_a_stale_entry_of_a_dead_gateway_ends_no_connection(several: SessionState) -> None:
    """An entry left over from a connection that ended takes none of the others."""
    await connect(several, "1@gw-1", "2@gw-2")
    await several.redis("SADD", f"{PART}gateway:dead", several.member(ANA))
    await end_lease(several, "dead")
    assert await several.reap() == 1
    assert await held(several) == ["1@gw-1", "2@gw-2"]


async def test_a_dead_gateway_does_not_shorten_the_grace(several: SessionState) -> None:
    """A connection that broke has its whole grace, though the ones that remained turn out to be dead."""
    await connect(several, "1@gw-1", "2@gw-2")
    assert await several.leave(ANA, "lost", connection="2") == 3
    await end_lease(several, "gw-1")
    assert await several.reap() == 1
    assert await several.away() == {several.member(ANA): KEPT}
    assert (await several.heard(), await several.held_by("gw-1")) == ([], set())
    await several.pass_time(GRACE)
    await several.reap()
    assert await several.heard() == [left(3, ANA, 1, "lost")]


async def test_reaping_frees_a_seat_whose_grace_is_over(several: SessionState) -> None:
    """When that grace is over, or the user came back meanwhile, the dead gateway's reaping frees the seat."""
    await connect(several, "1@gw-1", "2@gw-1")
    assert await several.leave(ANA, "lost", connection="2") == 3
    await connect(several, "3@gw-1")
    await end_lease(several, "gw-1")
    assert await several.reap() == 1
    assert await several.heard() == [left(3, ANA, 1, "lost")]


async def test_removing_and_closing_release_every_gateway(several: SessionState) -> None:
    """Removing a user and closing the session let go of every connection's gateway."""
    await connect(several, "1@gw-1", "2@gw-2")
    assert await several.remove(ANA) == [b"removed", user_json(ANA).encode()]
    assert await several.heard() == [left(3, ANA, 1, "removed")]
    assert await several.held_by("gw-1") == await several.held_by("gw-2") == set()
    await several.join(BEN, connection="b-2", gateway="gw-8")
    assert await several.close() == 4
    assert await several.heard() == [closed(4)]
    assert await several.held_by("gw-8") == await several.held_by("gw-9") == set()


async def test_a_new_epoch_keeps_the_seat_for_the_grace_time(several: SessionState) -> None:
    """A new epoch keeps the seat for the grace time, and no gateway holds any of its connections."""
    await connect(several, "1@gw-1", "2@gw-2")
    assert await several.fence(9) == 1
    assert await several.held_by("gw-1") == await several.held_by("gw-2") == set()
    assert set(await several.away()) == {several.member(ANA), several.member(BEN)}
    assert await several.leave(ANA, "lost", connection="1") == 0
    assert (await several.join(ANA, connection="3"))[0] == b"again"
    assert await held(several) == ["3@gw-1"]


async def test_a_seat_of_an_older_version_is_read(session: SessionState) -> None:
    """A seat is read as older versions wrote it: with one connection, beside which others may stand."""
    await session.open(multiple_connections=1)
    await session.join(ANA, connection="old")
    stored = {"n": "ana", "u": user_json(ANA), "g": "gw-1", "c": "old", "s": "here"}
    await session.redis("HSET", f"{session.key}:users", ANA, json.dumps(stored))
    await session.join(ANA, connection="new", gateway="gw-2")
    assert await held(session) == ["old@gw-1", "new@gw-2"]
    assert await session.leave(ANA, connection="old") == 3
    assert await session.leave(ANA, connection="new") == 1
