"""The gateway core for tests: the parts between Redis and the sockets, with real links and recorded sockets."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from broker.events import User
from broker.keys import Keys
from broker.pubsub.publisher import Publisher
from broker.pubsub.subscriber import Subscriber
from broker.redis.link import Link
from broker.redis.reconnect import Reconnector
from broker.redis.scripts import Scripts
from broker.sessions.event_log import EventLog
from broker.sessions.live_sessions import LiveSessions, Seat, SessionInfo
from gateway.counters import Counters
from gateway.protocol.close_codes import Ending
from gateway.rooms.driver import RETRY_SECONDS, RoomDriver
from gateway.rooms.flush_scheduler import FlushScheduler
from gateway.rooms.hub import Hub
from gateway.rooms.leave_queue import LeaveQueue
from gateway.rooms.membership import Membership
from gateway.rooms.room import Room
from tests.frames import server_frames
from tests.session_state import NAMES, SESSION, eventually, kept, take_lease

PARTITIONS = 4
KEYS = Keys("seance", PARTITIONS)
INFO = SessionInfo(SESSION, "Evening", "2026-11-22T21:05:00.123Z", 50, "full", spirit=False)
MARK = "the mark"


class Recorder:
    """A carrier that records every write, and ends its membership as a connection does.

    `ends_at_write` makes the carrier end during its next write; like a connection, it defers that end.
    """

    def __init__(
        self, core: "GatewayCore", room: Room, user: User, connection_id: str, *, wants_batches: bool = False
    ) -> None:
        self.id = connection_id
        self.room = room
        self.membership = Membership(connection_id, user, room, self, wants_batches=wants_batches)
        self.writes: list[list[Any]] = []
        self.ending: Ending | None = None
        self.ends_at_write: Ending | None = None
        self.unsent_bytes = 0
        self._core = core

    def write(self, data: bytes) -> None:
        """Record the frames of one write."""
        assert self.ending is None, "nothing is written to a socket that has ended"
        frames = list(server_frames(data))
        assert frames[-1][2] == len(data), "whole frames only"
        self.writes.append([json.loads(payload) for _, payload, _ in frames])
        if self.ends_at_write is not None:
            self._core.scheduler.defer(partial(self.end, self.ends_at_write))

    def answer(self, data: bytes) -> None:
        """Record the frames of an answer."""
        self.write(data)

    def end(self, ending: Ending) -> None:
        """Record the ending, and leave the room."""
        if self.ending is None:
            self.ending = ending
            self._core.hub.leave(self.membership)

    def pause_reading(self) -> None:
        """Do nothing: no client sends commands."""

    def resume_reading(self) -> None:
        """Do nothing: no client sends commands."""

    def limited(self, what: str, wait_seconds: float) -> None:
        """Do nothing: no client sends commands."""

    @property
    def events(self) -> list[dict[str, Any]]:
        """Every event so far, those of batches too, without the markers of `GatewayCore.mark`."""
        frames = [frame for write in self.writes for frame in write]
        events = [event for frame in frames for event in (frame if isinstance(frame, list) else [frame])]
        return [event for event in events if event["data"].get("user", {}).get("name") != MARK]

    @property
    def marks(self) -> int:
        """How many markers of `GatewayCore.mark` were written."""
        return sum(MARK in json.dumps(frame) for write in self.writes for frame in write)

    @property
    def seqs(self) -> list[int]:
        """The seq of every sequenced event so far."""
        return [event["seq"] for event in self.events if "seq" in event]

    @property
    def types(self) -> list[str]:
        """The type of every event so far."""
        return [event["type"] for event in self.events]

    async def sees(self, last_seq: int) -> None:
        """Wait until the last sequenced event has this seq."""
        await eventually(lambda: self.seqs[-1:] == [last_seq], what=f"event {last_seq} after {self.seqs[-3:]}")

    async def ends(self) -> Ending:
        """Wait for the end; returns the ending."""
        return await eventually(lambda: self.ending, what="the end")


class RelayGate:
    """Sits between the link and the hub: while shut, it holds the messages of the channels back."""

    def __init__(self, hub: Hub) -> None:
        self.is_shut = False
        self.waiting: list[tuple[bytes, bytes]] = []
        self._hub = hub

    def heard(self, channel: bytes, payload: bytes) -> None:
        """Pass a message on, or hold it back."""
        if self.is_shut:
            self.waiting.append((channel, payload))
        else:
            self._hub.heard(channel, payload)

    def shut(self) -> None:
        """Hold back every later message."""
        self.is_shut = True

    async def holds(self, count: int) -> None:
        """Wait until so many messages are held back."""
        await eventually(lambda: len(self.waiting) >= count, what=f"{count} messages at the gate")

    def let(self, count: int | None = None, *, again: bool = False) -> None:
        """Pass on the first `count` messages held back; with `again`, also keep them to be passed on once more."""
        count = len(self.waiting) if count is None else count
        through = self.waiting[:count]
        if not again:
            del self.waiting[:count]
        for channel, payload in through:
            self._hub.heard(channel, payload)

    def lose(self, count: int) -> None:
        """Drop the first `count` messages held back."""
        del self.waiting[:count]

    def open(self) -> None:
        """Pass on every message, those held back first."""
        self.is_shut = False
        self.let()


class GatewayCore:
    """The parts of one gateway between Redis and the sockets."""

    def __init__(
        self,
        url: str,
        info: SessionInfo = INFO,
        *,
        timeout_seconds: float = 5.0,
        retry_seconds: float = RETRY_SECONDS,
        is_apart: bool = True,
    ) -> None:
        self.info = info
        self.link = Link(url, timeout_seconds=timeout_seconds)
        # A gateway has one link for both; with two, a test can break one and use the other.
        self.listening = self.link
        if is_apart:
            self.listening = Link(url, timeout_seconds=timeout_seconds, name="seance-listening")
        self.subscriber = Subscriber(self.listening)
        self.scripts = Scripts(self.link)
        self.sessions = LiveSessions(self.link, self.scripts, keys=KEYS)
        self.publisher = Publisher(self.link, self.scripts, keys=KEYS, max_backlog=100_000)
        self.counters = Counters()
        self.scheduler = FlushScheduler()
        self.driver = RoomDriver(
            self.sessions,
            EventLog(self.link, keys=KEYS),
            self.scheduler,
            self.counters,
            retry_seconds=retry_seconds,
        )
        self.hub = Hub(self.subscriber, self.sessions, self.driver, self.counters)
        self.leave_queue = LeaveQueue(self.sessions)
        self.gate = RelayGate(self.hub)
        self.link.on_up = (self.scripts.load,)
        self.listening.on_up = (*self.listening.on_up, self.subscriber.resubscribe)
        self.listening.on_message = self.gate.heard
        for link in (self.link, self.listening):
            link.start_of_read = self.scheduler.start_of_read
            link.end_of_read = self.scheduler.end_of_read
        self.subscriber.on_resubscribed = self.hub.resubscribed
        self._joins: list[tuple[Room, contextlib.AsyncExitStack]] = []
        self.key = self.sessions.key(info.id)
        self.log_key = KEYS.log(KEYS.partition_of(info.id), info.id)

    async def seat(self, user_id: str, name: str | None = None, *, connection: str | None = None) -> Seat:
        """Take a seat for the user, as a gateway does."""
        name = name or NAMES[user_id]
        user = User(user_id, name)
        await take_lease(self.link, self.info.id, KEYS)
        return await self.sessions.join(self.info.id, user, gateway="gw-1", connection=connection or name)

    def rooms(self) -> list[Room]:
        """Every room of the hub."""
        return list(self.hub._rooms.values())

    async def enter(self) -> Room:
        """Begin a join that is under way until `left`; returns the session's room."""
        stack = contextlib.AsyncExitStack()
        room = await stack.enter_async_context(self.hub.joining(self.info))
        self._joins.append((room, stack))
        return room

    async def left(self, room: Room) -> None:
        """End a join in the room."""
        join = next(join for join in self._joins if join[0] is room)
        self._joins.remove(join)
        await join[1].aclose()

    def recorder(
        self,
        room: Room,
        user_id: str,
        name: str | None = None,
        *,
        connection: str | None = None,
        wants_batches: bool = False,
    ) -> Recorder:
        """Make a carrier with a membership of the user that has no seat yet."""
        name = name or NAMES[user_id]
        return Recorder(self, room, User(user_id, name), connection or name, wants_batches=wants_batches)

    async def join(
        self, user_id: str, name: str | None = None, *, connection: str | None = None, wants_batches: bool = False
    ) -> Recorder:
        """Join a user; `connection` is the connection's id, by default the user's name. Returns the carrier."""
        room = await self.enter()
        seat = await self.seat(user_id, name, connection=connection)
        member = self.recorder(room, user_id, name, connection=connection, wants_batches=wants_batches)
        self.attach(member, seat)
        await self.left(room)
        return member

    def attach(self, member: Recorder, seat: Seat) -> None:
        """Take the member into its room with this seat; the member gets the events after the seat's seq."""
        self.driver.seat(member.membership, seat.seq, seat.epoch)
        assert self.driver.attach(member.membership, seat.seq)

    async def say(self, text: str = "hi", *, user_id: str | None = None) -> int:
        """Publish a message as a server or another user; returns its seq."""
        done = await self.publisher.message(self.info.id, user_id=user_id, user_name="Elsewhere", text=text)
        return done.seq

    async def mark(self, *members: Recorder) -> None:
        """Wait until every event published before has reached these members."""
        before = [member.marks for member in members]
        await self.publisher.ephemeral(self.info.id, "user_typing", User(None, MARK))
        await eventually(
            lambda: all(member.marks > count for member, count in zip(members, before, strict=True)), what="the mark"
        )

    async def shut(self, *members: Recorder) -> None:
        """Shut the relay gate, after every event published before has reached these members."""
        await self.mark(*members)
        self.gate.shut()

    async def snapshot(self) -> dict[str, bytes]:
        """The session's keys in Redis, dumped."""
        names = [name.decode() for name in await self.link.call("KEYS", f"{self.key}*")]
        return {name: await self.link.call("DUMP", name) for name in names}

    async def go_back(self, snapshot: dict[str, bytes]) -> None:
        """Replace the session's keys in Redis by those of the snapshot."""
        for name in await self.link.call("KEYS", f"{self.key}*"):
            await self.link.call("DEL", name)
        for name, dumped in snapshot.items():
            await self.link.call("RESTORE", name, 0, dumped)

    async def position(self) -> tuple[str, int]:
        """The epoch and the last seq of the session's hot state."""
        position = await self.sessions.position(self.info.id)
        assert position is not None
        return position.epoch, position.seq

    async def hears(self, *channels: str) -> None:
        """Wait until exactly these channels are subscribed; subscriptions use another connection than this check."""
        heard: set[str] | None = None
        async with asyncio.timeout(10):
            while heard != set(channels):
                heard = {channel.decode() for channel in await self.link.call("PUBSUB", "CHANNELS")}


@contextlib.asynccontextmanager
async def gateway_core(
    url: str,
    info: SessionInfo = INFO,
    *,
    timeout_seconds: float = 5.0,
    retry_seconds: float = RETRY_SECONDS,
    is_apart: bool = True,
) -> AsyncIterator[GatewayCore]:
    """Run a connected gateway core with an open session."""
    gateway_core = GatewayCore(
        url, info, timeout_seconds=timeout_seconds, retry_seconds=retry_seconds, is_apart=is_apart
    )
    async with (
        kept(gateway_core.link.keeper),
        kept(gateway_core.listening.keeper) if is_apart else contextlib.nullcontext(),
    ):
        await gateway_core.sessions.open(info)
        yield gateway_core


@contextlib.asynccontextmanager
async def without(keeper: Reconnector) -> AsyncIterator[None]:
    """Break this connection, and let it be up again at the end."""
    url, keeper._url = keeper._url, "redis://127.0.0.1:1/0"
    assert keeper._wire is not None
    keeper._wire.abort()
    await eventually(lambda: not keeper.is_up)
    yield
    keeper._url = url
    await asyncio.wait_for(keeper.wait_up(), 10)
