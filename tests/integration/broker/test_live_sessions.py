"""Sessions in Redis through their typed calls: open, seats, close, and everything that is asked about them."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from broker.errors import (
    NameTakenError,
    NotSeatedError,
    SessionClosedError,
    SessionFullError,
    SessionUnknownError,
    UserRemovedError,
)
from broker.events import User
from broker.keys import Keys
from broker.redis.link import Link
from broker.redis.scripts import Scripts
from broker.sessions.live_sessions import LeaveOutcome, LiveSessions, Removal, Seat, SessionInfo, SessionState
from tests.session_state import ANA, BEN, SESSION, kept, take_lease

PARTITIONS = 4
KEYS = Keys("seance", PARTITIONS)
INFO = SessionInfo(SESSION, "Evening", "2026-11-22T21:05:00.123Z", 3, "full", spirit=True, password_hash="$argon2id$x")
ANA_USER, BEN_USER = User(ANA, "Ana"), User(BEN, "Ben")


@pytest.fixture
def sessions(link: Link, scripts: Scripts) -> LiveSessions:
    """Sessions with a short grace."""
    return LiveSessions(link, scripts, keys=KEYS, log_events=99, idle_seconds=600, grace_seconds=15)


async def join(sessions: LiveSessions, user: User, connection: str = "c-1") -> Seat:
    """Take a seat."""
    await take_lease(sessions._link, SESSION, KEYS)
    return await sessions.join(SESSION, user, gateway="gw-1", connection=connection)


async def test_every_call_names_an_unknown_session(sessions: LiveSessions) -> None:
    """Nothing can be had of a session that is not hot; every call says so."""
    assert await sessions.info(SESSION) is None
    assert await sessions.position(SESSION) is None
    assert await sessions.users(SESSION) == []
    assert await sessions.holders(SESSION, ANA) == ()
    for call in (
        join(sessions, ANA_USER),
        sessions.remove(SESSION, ANA),
        sessions.close(SESSION),
        sessions.state(SESSION),
    ):
        with pytest.raises(SessionUnknownError):
            await call


@pytest.mark.parametrize(
    "info",
    [
        INFO,
        SessionInfo(SESSION, 'Ünïcode "quoted" {}', "2026-01-01T00:00:00.000Z", 10_000, "summary", spirit=False),
        msgspec.structs.replace(INFO, slow_consumers="disconnect", multiple_connections=True),
    ],
)
async def test_session_info_reads_back(sessions: LiveSessions, link: Link, info: SessionInfo) -> None:
    """What was opened is read back as it was, with or without a password and options."""
    await sessions.open(info)
    assert await sessions.info(SESSION) == info
    stored = await link.call("HMGET", sessions.key(SESSION), "log_events", "idle_seconds", "is_active", "seq", "epoch")
    assert stored[:4] == [b"99", b"600", b"1", b"0"]
    position = await sessions.position(SESSION)
    assert position is not None
    assert (stored[4].decode(), position.seq, position.persisted) == (position.epoch, 0, 0)
    assert len(stored[4]) == 8


async def test_holders_are_named_oldest_first(sessions: LiveSessions, link: Link) -> None:
    """Every connection that holds a seat is named, the oldest first."""
    await sessions.open(msgspec.structs.replace(INFO, multiple_connections=True))
    await take_lease(link, SESSION, KEYS)
    for connection in ("c-1", "c-2", "c-3"):
        seat = await sessions.join(SESSION, User(ANA, "Ana"), gateway="gw-1", connection=connection)
        assert seat.user_count == 1
    assert await sessions.holders(SESSION, ANA) == ("c-1", "c-2", "c-3")


async def test_hot_state_of_an_older_version_has_default_options(sessions: LiveSessions, link: Link) -> None:
    """Hot state that an older version opened has the options' defaults."""
    await sessions.open(msgspec.structs.replace(INFO, slow_consumers="disconnect", multiple_connections=True))
    assert await link.call("HDEL", sessions.key(SESSION), "slow_consumers", "multiple_connections") == 2
    assert await sessions.info(SESSION) == INFO


@pytest.mark.parametrize(
    ("max_seq", "first"),
    [(None, 0), (0, 2_000_000), (999_999, 2_000_000), (1_000_000, 3_000_000), (5_123_456, 7_000_000)],
)
async def test_no_seq_is_given_twice(sessions: LiveSessions, max_seq: int | None, first: int) -> None:
    """A session that Redis held before starts well above everything that Postgres has of it; a new one at 0."""
    await sessions.open(INFO, max_seq=max_seq)
    assert (await join(sessions, ANA_USER)).seq == first + 1


async def test_of_several_openers_the_first_decides(sessions: LiveSessions) -> None:
    """The first to open decides about the epoch; the others change nothing."""
    await asyncio.gather(*(sessions.open(INFO) for _ in range(10)))
    position = await sessions.position(SESSION)
    await sessions.open(INFO, is_active=False, removed_user_ids=[ANA])
    assert await sessions.position(SESSION) == position
    assert position is not None
    assert (await join(sessions, ANA_USER)).epoch == position.epoch


async def test_a_closed_session_is_opened_closed(sessions: LiveSessions) -> None:
    """A session that was closed before it was loaded is closed."""
    await sessions.open(INFO, is_active=False)
    assert await sessions.state(SESSION) == SessionState(is_active=False, user_count=0)
    with pytest.raises(SessionClosedError):
        await join(sessions, ANA_USER)
    with pytest.raises(SessionClosedError):
        await sessions.remove(SESSION, ANA)


async def test_a_seat_tells_position_and_users(sessions: LiveSessions) -> None:
    """A seat tells whether it is new, where the session stands, and who is there."""
    await sessions.open(INFO)
    position = await sessions.position(SESSION)
    assert position is not None
    first = await join(sessions, ANA_USER)
    assert (first.is_new, first.seq, first.epoch, first.user_count) == (True, 1, position.epoch, 1)
    assert [msgspec.json.decode(user, type=User) for user in first.users] == [ANA_USER]
    second = await join(sessions, BEN_USER)
    assert (second.is_new, second.seq, second.user_count) == (True, 2, 2)
    again = await join(sessions, ANA_USER, "c-2")
    assert (again.is_new, again.seq, again.user_count) == (False, 2, 2)
    assert {bytes(user) for user in again.users} == {msgspec.json.encode(user) for user in (ANA_USER, BEN_USER)}
    assert sorted(await sessions.users(SESSION), key=lambda user: user.name) == [ANA_USER, BEN_USER]
    assert await sessions.state(SESSION) == SessionState(is_active=True, user_count=2)
    assert await sessions.holders(SESSION, ANA) == ("c-2",)


async def test_a_seat_under_summary_presence_tells_the_number(sessions: LiveSessions) -> None:
    """In a big session a seat tells how many are there, not who."""
    await sessions.open(msgspec.structs.replace(INFO, presence="summary"))
    await join(sessions, ANA_USER)
    seat = await join(sessions, BEN_USER)
    assert (seat.user_count, seat.users, seat.seq) == (2, (), 0)
    assert len(await sessions.users(SESSION)) == 2


@pytest.mark.parametrize("name", ["ana", "ANA", "\N{FULLWIDTH LATIN CAPITAL LETTER A}na"])
async def test_a_name_in_another_form_is_taken(sessions: LiveSessions, name: str) -> None:
    """Names are compared without regard to case and to forms of the same letter."""
    await sessions.open(INFO)
    await join(sessions, ANA_USER)
    with pytest.raises(NameTakenError):
        await join(sessions, User(BEN, name))


async def test_the_name_of_a_user_who_left_is_free(sessions: LiveSessions) -> None:
    """The name of a user who left is free."""
    await sessions.open(INFO)
    await join(sessions, ANA_USER)
    assert await sessions.leave(SESSION, ANA, connection="c-1", is_lost=False) is LeaveOutcome.FREED
    assert (await join(sessions, User(BEN, "ANA"))).is_new


async def test_a_lost_connection_keeps_the_seat(sessions: LiveSessions) -> None:
    """A lost connection keeps the seat; its user is known until another user takes the seat."""
    await sessions.open(INFO)
    await join(sessions, ANA_USER)
    assert await sessions.leave(SESSION, ANA, connection="c-1", is_lost=True) is LeaveOutcome.KEPT
    assert await sessions.holders(SESSION, ANA) == ("c-1",)
    assert await sessions.users(SESSION) == [ANA_USER]
    assert not (await join(sessions, ANA_USER, "c-2")).is_new
    assert await sessions.leave(SESSION, ANA, connection="c-1", is_lost=False) is LeaveOutcome.NOT_HELD


async def test_a_removed_user_is_returned_and_stays_out(sessions: LiveSessions) -> None:
    """The host gets the user who was removed; that user stays out, and can't be removed twice."""
    await sessions.open(INFO)
    await join(sessions, ANA_USER)
    assert await sessions.remove(SESSION, ANA) == Removal(ANA_USER)
    with pytest.raises(UserRemovedError):
        await join(sessions, ANA_USER)
    with pytest.raises(NotSeatedError):
        await sessions.remove(SESSION, ANA)


async def test_closing_tells_the_last_seq_each_time(sessions: LiveSessions) -> None:
    """Closing tells the last seq, as often as asked, and leaves nobody in."""
    await sessions.open(INFO)
    await join(sessions, ANA_USER)
    assert [await sessions.close(SESSION) for _ in range(2)] == [2, 2]
    assert await sessions.state(SESSION) == SessionState(is_active=False, user_count=0)
    with pytest.raises(SessionClosedError):
        await join(sessions, ANA_USER)


async def test_an_idempotency_key_is_remembered_for_a_day(sessions: LiveSessions, link: Link) -> None:
    """What an Idempotency-Key stood for first is the answer to every repetition, for a day."""
    assert await sessions.remember("digest", "body-1", "session-1") == ("body-1", "session-1")
    assert await sessions.remember("digest", "body-2", "session-2") == ("body-1", "session-1")
    assert await sessions.remember("other", "body-2", "session-2") == ("body-2", "session-2")
    assert 86_300 < await link.call("TTL", KEYS.idempotency("digest")) <= 86_400


@pytest.fixture
async def gateways(redis_url: str) -> AsyncIterator[list[LiveSessions]]:
    """Three gateways' connections."""
    links = [Link(redis_url) for _ in range(3)]
    async with kept(links[0].keeper), kept(links[1].keeper), kept(links[2].keeper):
        scripts = [Scripts(link) for link in links]
        for loaded in scripts:
            loaded.load()
        yield [LiveSessions(link, loaded, keys=KEYS) for link, loaded in zip(links, scripts, strict=True)]


async def test_a_crowd_takes_exactly_the_seats_there_are(gateways: list[LiveSessions]) -> None:
    """However many come at once on however many gateways, exactly the seats that there are get taken."""
    await gateways[0].open(msgspec.structs.replace(INFO, max_users=50))
    joins = [join(gateways[number % 3], User(f"u{number}", f"Guest {number}")) for number in range(200)]
    seats = await asyncio.gather(*joins, return_exceptions=True)
    taken = [seat for seat in seats if isinstance(seat, Seat)]
    assert len([seat for seat in seats if isinstance(seat, SessionFullError)]) == 150
    assert sorted(seat.user_count for seat in taken) == sorted(seat.seq for seat in taken) == list(range(1, 51))
    assert len({user.name for user in await gateways[1].users(SESSION)}) == 50


async def test_one_of_a_crowd_gets_the_name(gateways: list[LiveSessions]) -> None:
    """Of all who want a name at the same time one gets it."""
    await gateways[0].open(msgspec.structs.replace(INFO, max_users=50))
    joins = [join(gateways[number % 3], User(f"u{number}", ("Ana", "ANA")[number % 2])) for number in range(20)]
    seats = await asyncio.gather(*joins, return_exceptions=True)
    assert sorted(type(seat) is NameTakenError for seat in seats) == [False, *[True] * 19]


async def test_a_user_on_every_gateway_has_one_seat(gateways: list[LiveSessions]) -> None:
    """A user who comes by several gateways at once has one seat, and is announced once."""
    await gateways[0].open(INFO)
    joins = [join(sessions, ANA_USER, f"c-{number}") for number, sessions in enumerate(gateways)]
    seats = await asyncio.gather(*joins)
    assert sorted(seat.is_new for seat in seats) == [False, False, True]
    assert await gateways[0].state(SESSION) == SessionState(is_active=True, user_count=1)
