"""Publishing and the log of recent events, through their typed calls."""

import asyncio
import json

import pytest

from broker.errors import BacklogFullError, NotSeatedError, SessionClosedError, SessionUnknownError
from broker.events import MessageReceived, User, decode_stored, message_received
from broker.keys import Keys
from broker.pubsub.publisher import Published, Publisher
from broker.redis.link import Link
from broker.redis.scripts import Scripts
from broker.sessions.event_log import PAGE, EventKind, EventLog, parse
from broker.sessions.live_sessions import LiveSessions, SessionInfo
from tests.session_state import ANA, BEN, SESSION, ChannelRecorder

PARTITIONS = 4
KEYS = Keys("seance", PARTITIONS)
INFO = SessionInfo(SESSION, "Evening", "2026-11-22T21:05:00.123Z", 3, "full", spirit=True)


@pytest.fixture
def sessions(link: Link, scripts: Scripts) -> LiveSessions:
    """The hot state."""
    return LiveSessions(link, scripts, keys=KEYS)


async def open_with_ana(sessions: LiveSessions) -> None:
    """Open the session; Ana has a seat, for which no event was published."""
    await sessions.open(INFO)
    await sessions._link.call("HSET", f"{sessions.key(SESSION)}:users", ANA, '{"c":"c-1","g":"gw-1","n":"ana"}')


@pytest.fixture
def publisher(link: Link, scripts: Scripts) -> Publisher:
    """Publishes while fewer than 2000 entries wait."""
    return Publisher(link, scripts, keys=KEYS, max_backlog=2000)


@pytest.fixture
def log(link: Link) -> EventLog:
    """Reads recent events."""
    return EventLog(link, keys=KEYS)


@pytest.mark.parametrize(
    ("author", "kind"),
    [
        ((ANA, False), EventKind.MESSAGE),
        ((ANA, True), EventKind.OTHER),
        ((None, False), EventKind.OTHER),
        ((None, True), EventKind.OTHER),
    ],
)
async def test_a_message_is_logged_as_the_contract_says(
    sessions: LiveSessions,
    publisher: Publisher,
    log: EventLog,
    author: tuple[str | None, bool],
    kind: EventKind,
) -> None:
    """A message stands in the log as the contract has it; only a person's sets the spirit thinking."""
    await open_with_ana(sessions)
    user_id, is_spirit = author
    text = 'quotes " backslash \\ newline \n {} \N{GHOST}'
    done = await publisher.message(SESSION, user_id=user_id, user_name="Ana", text=text, is_spirit=is_spirit)
    (payload,) = await log.range(SESSION, 1)
    assert (payload.seq, payload.kind, payload.user_id) == (1, kind, user_id or "-")
    event = decode_stored(payload.body)
    assert isinstance(event, MessageReceived)
    assert done == Published(event.seq, event.data.id) == Published(1, event.data.id)
    assert (event.data.session_id, event.data.user_id, event.data.user_name) == (SESSION, user_id, "Ana")
    assert (event.data.text, event.data.is_spirit, event.data.timestamp) == (text, is_spirit, event.ts)
    assert message_received(1, event.data) == payload.body


async def test_a_repeated_key_gives_the_first_place(
    sessions: LiveSessions, publisher: Publisher, log: EventLog
) -> None:
    """A repeated key gives the first message's place; the same key of another user, or of no user, is another."""
    await open_with_ana(sessions)
    first = await publisher.message(SESSION, user_id=ANA, user_name="Ana", text="one", key="k")
    assert await publisher.message(SESSION, user_id=ANA, user_name="Ana", text="two", key="k") == first
    server = await publisher.message(SESSION, user_id=None, user_name="Server", text="three", key="k")
    assert await publisher.message(SESSION, user_id=None, user_name="Server", text="four", key="k") == server
    assert (first.seq, server.seq) == (1, 2)
    assert len(await log.range(SESSION, 1)) == 2


async def test_a_refused_message_says_why(
    sessions: LiveSessions, publisher: Publisher, link: Link, scripts: Scripts
) -> None:
    """What can't be published says why, and nothing is stored."""
    with pytest.raises(SessionUnknownError):
        await publisher.message(SESSION, user_id=ANA, user_name="Ana", text="hi")
    await open_with_ana(sessions)
    full = Publisher(link, scripts, keys=KEYS, max_backlog=0)
    with pytest.raises(BacklogFullError):
        await full.message(SESSION, user_id=ANA, user_name="Ana", text="hi")
    with pytest.raises(NotSeatedError):
        await publisher.message(SESSION, user_id=BEN, user_name="Ben", text="hi")
    last = await sessions.close(SESSION)
    with pytest.raises(SessionClosedError):
        await publisher.message(SESSION, user_id=ANA, user_name="Ana", text="hi")
    assert last == 1


async def test_an_ephemeral_event_is_heard_and_not_kept(
    sessions: LiveSessions, publisher: Publisher, channel: ChannelRecorder
) -> None:
    """Ephemeral events are heard by the present listeners, and kept nowhere."""
    await sessions.open(INFO)
    await channel.listen(sessions.key(SESSION))
    await publisher.ephemeral(SESSION, "spirit_thinking")
    await publisher.ephemeral(SESSION, "user_typing", User(ANA, "Ana"))
    await publisher.ephemeral(SESSION, "user_typing", User(None, "Server"))
    payloads = [parse(raw) for raw in await channel.latest(sessions.key(SESSION))]
    assert [(payload.seq, payload.kind, payload.user_id) for payload in payloads] == [
        (0, EventKind.TO_ALL, "-"),
        (0, EventKind.TO_OTHERS, ANA),
        (0, EventKind.TO_ALL, "-"),
    ]
    events = [json.loads(payload.body) for payload in payloads]
    assert [event["type"] for event in events] == ["spirit_thinking", "user_typing", "user_typing"]
    assert [event["data"] for event in events] == [
        {},
        {"user": {"id": ANA, "name": "Ana"}},
        {"user": {"id": None, "name": "Server"}},
    ]
    assert all(event.keys() == {"type", "ts", "data"} for event in events)


async def test_a_range_of_the_log_is_ordered_and_limited(
    sessions: LiveSessions, publisher: Publisher, log: EventLog
) -> None:
    """A range of the log comes in order, from its first event on, and no longer than asked for."""
    await sessions.open(INFO)
    total = PAGE + 1
    said = (publisher.message(SESSION, user_id=None, user_name="Server", text="hi") for _ in range(total))
    assert max(one.seq for one in await asyncio.gather(*said)) == total
    for first, until, limit, expected in (
        (1, None, PAGE, range(1, PAGE + 1)),
        (3, None, 2 * PAGE, range(3, total + 1)),
        (7, 8, PAGE, range(7, 9)),
        (7, 20, 5, range(7, 12)),
        (total + 1, None, PAGE, range(0)),
    ):
        events = await log.range(SESSION, first, until, limit=limit)
        assert [event.seq for event in events] == list(expected)
