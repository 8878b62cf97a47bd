"""One session on this gateway: its sockets, and what they get. All synchronous."""

import asyncio
from typing import Protocol

import structlog

from broker.events import Empty, ephemeral, instant
from broker.redis.connection import Reply
from broker.sessions.event_log import Event
from broker.sessions.live_sessions import SessionInfo
from gateway.protocol import close_codes, server_events
from gateway.protocol.close_codes import Ending
from gateway.protocol.frames import text_frame
from gateway.rooms.commit_waiters import CommitWaiters
from gateway.rooms.join_buffer import JoinBuffer, ended_by
from gateway.rooms.members import Members
from gateway.rooms.outbox import Member, Outbox, Post
from gateway.rooms.seat_check import call_roll
from gateway.rooms.sequencer import RETRY_SECONDS, Sequencer, Source

PRESENCE_SECONDS = 1.0

log = structlog.get_logger()


class Desk(Source, Post, Protocol):
    """What a room needs of the hub."""

    def ask_seats(self, session_id: str, user_ids: list[str]) -> "asyncio.Future[Reply]":
        """The users' seats as they are stored, in order; None for each who has none."""

    def count_gap(self, events: int) -> None:
        """So many events could not be had here."""


class Room:
    """The sockets of one session. `joining` counts joins under way: for these, recent events are kept."""

    __slots__ = (
        "_commits",
        "_desk",
        "_loop",
        "_meanwhile",
        "_presence_timer",
        "_user_count",
        "_waiting",
        "info",
        "joining",
        "order",
        "out",
        "users",
    )

    def __init__(self, info: SessionInfo, desk: Desk) -> None:
        self.info = info
        self.out = Outbox(desk)
        self.users: Members[Member] = Members()
        self.joining = 0
        self.order = Sequencer(info.id, desk, self)
        self._desk = desk
        self._loop = asyncio.get_running_loop()
        # Made when they are needed: empty, they would cost each socket of a small room 300 bytes.
        self._commits: CommitWaiters | None = None
        self._meanwhile: JoinBuffer | None = None
        self._waiting: list[tuple[int, Member]] = []
        self._user_count = 0
        self._presence_timer: asyncio.TimerHandle | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nobody is here or about to come."""
        return not self.users and not self.joining

    @property
    def commits(self) -> CommitWaiters:
        """Who waits for which event to be committed."""
        if self._commits is None:
            self._commits = CommitWaiters()
        return self._commits

    def expect(self) -> None:
        """One more join is under way; call `joined` when it is over."""
        self.joining += 1
        if self._meanwhile is None:
            self._meanwhile = JoinBuffer()

    def seat(self, member: Member, seq: int, epoch: str) -> None:
        """The member's user is here, with a seat as of event `seq`; the member gets nothing before `attach`."""
        self.order.begin(seq, epoch)
        if self._meanwhile is not None and (ending := self._meanwhile.ending_of(member)) is not None:
            member.end(ending)
            return
        older = () if self.info.multiple_connections else self.users.of(member.user_id)
        self.users.add(member)
        for replaced in older:
            replaced.end(close_codes.REPLACED)

    def attach(self, member: Member, seq: int) -> bool:
        """From now on the member gets every event after `seq`; False when some of these are no longer known here."""
        last_seq = self.order.last_seq
        assert last_seq is not None
        if last_seq < seq:  # what the member has already did not come round yet
            self._waiting.append((seq, member))
            return True
        late = [] if self._meanwhile is None else self._meanwhile.since(seq)
        if len(late) != last_seq - seq:
            return False
        self.out.flush()
        self.out.members.add(member)
        if late:
            member.write(b"".join(text_frame(event.body) for event in late))
            ending = ended_by(late, member.user_id)
            if ending is not None:
                member.end(ending)
        return True

    def suspend(self, member: Member) -> int:
        """The member gets nothing until it is attached again; returns the last event that it has."""
        self.out.flush()
        self.out.members.discard(member)
        for seq, waiting in self._waiting:
            if waiting is member:
                self._waiting.remove((seq, waiting))
                return seq
        assert self.order.last_seq is not None
        return self.order.last_seq

    def detach(self, member: Member) -> None:
        """The member gets nothing more."""
        self.out.discard(member)
        self._waiting = [(seq, waiting) for seq, waiting in self._waiting if waiting is not member]
        self.users.discard(member)

    def joined(self) -> None:
        """A join under way has ended, well or not."""
        self.joining -= 1
        if not self.joining:
            self._meanwhile = None

    def shut(self) -> None:
        """Drop what is scheduled; nobody is here."""
        if self._presence_timer is not None:
            self._presence_timer.cancel()

    def end_all(self, ending: Ending) -> None:
        """Close every connection of the session here."""
        self.out.flush()
        for member in self.users:
            member.end(ending)

    # What comes from the channel

    def heard(self, event: Event) -> None:
        """An event arrived from the channel."""
        if event.seq:
            self.order.heard(event)
        else:
            self._heard_unsequenced(event)

    def catch_up(self) -> None:
        """Events may have been missed."""
        self._ask_persisted()
        call_roll(self._desk.ask_seats, self.info, self.users)
        self.order.catch_up()

    def _ask_persisted(self) -> None:
        if self._commits is not None and self._commits.is_awaited:
            self._desk.ask_position(self.info.id).add_done_callback(self._told_persisted)

    def _told_persisted(self, answer: "asyncio.Future[Reply]") -> None:
        if answer.exception() is not None:
            self._loop.call_later(RETRY_SECONDS, self._ask_persisted)
        elif (persisted := answer.result()[2]) is not None:
            self.commits.committed(int(persisted))

    # Sink

    def lost(self) -> None:
        """Let everyone come back and resume."""
        self.end_all(close_codes.RESYNC)
        if self._meanwhile is not None:
            self._meanwhile.recent.clear()

    def missing(self, first: int, last: int) -> None:
        """These events can't be had here any more."""
        log.warning("room.gap", session_id=self.info.id, first=first, last=last)
        self._desk.count_gap(last - first + 1)
        self.out.queue(server_events.gap(first, last))

    def deliver(self, event: Event) -> None:
        """The next event, to everyone."""
        if event.kind == b"r":
            self._remove(event.subject)
        self.out.queue(event.body)
        if event.kind == b"m" and self.info.spirit:
            self.out.queue(ephemeral("spirit_thinking", instant(), Empty()))
        if self._meanwhile is not None:
            self._meanwhile.recent.append(event)
        if self._waiting:
            self._admit_waiting(event.seq)
        if event.kind == b"c":
            self._closed()

    def _closed(self) -> None:
        # Whoever still lacks earlier events reads on up to this one, and ends then.
        self.out.flush()
        for member in list(self.out.members):
            member.end(close_codes.SESSION_CLOSED)

    def _admit_waiting(self, last_seq: int) -> None:
        self.out.flush()
        ready = [(seq, member) for seq, member in self._waiting if seq <= last_seq]
        self._waiting = [(seq, member) for seq, member in self._waiting if seq > last_seq]
        for seq, member in ready:
            if seq == last_seq:
                self.out.members.add(member)
            else:  # the log lacks what it should get first
                member.end(close_codes.RESYNC)

    def _heard_unsequenced(self, event: Event) -> None:
        match event.kind:
            case b"t":
                self._send_to_others(event)
            case b"x":
                self._replace(event)
            case b"p":
                self._presence(int(event.body))
            case b"r":
                if self._meanwhile is not None:
                    self._meanwhile.gone[event.subject.decode()] = close_codes.REMOVED
                self._remove(event.subject)
            case b"w":
                self._committed(int(event.body))
            case b"d":
                self.commits.refused(int(event.body))
            case _:
                self.out.queue(event.body)

    def _send_to_others(self, event: Event) -> None:
        self.out.flush()
        frame = text_frame(event.body)
        own = self.users.of(event.subject.decode())
        others = self.out.members.difference(own)
        for member in others:  # a full buffer may end, and so detach, a member on the way
            member.write(frame)
        self._desk.count(1, len(others), len(others) * len(frame))

    def _committed(self, seq: int) -> None:
        self.commits.committed(seq)
        frame = text_frame(server_events.persisted(seq))
        for member in [member for member in self.out.members if member.wants_persisted]:
            member.write(frame)

    def _replace(self, event: Event) -> None:
        # It names who goes, not who came: however late it is heard, it ends nobody who came after.
        connection_id = event.body.decode()
        if self._meanwhile is not None:
            self._meanwhile.gone[connection_id] = close_codes.REPLACED
        for member in self.users.of(event.subject.decode()):
            if member.id == connection_id:
                member.end(close_codes.REPLACED)

    def _remove(self, user_id: bytes) -> None:
        members = self.users.of(user_id.decode())
        if members:
            self.out.flush()
        for member in members:
            member.end(close_codes.REMOVED)

    def _presence(self, user_count: int) -> None:
        # At most one a second: a change waits, and whatever comes meanwhile goes with it.
        self._user_count = user_count
        if self._presence_timer is None:
            self._presence_timer = self._loop.call_later(PRESENCE_SECONDS, self._send_presence)

    def _send_presence(self) -> None:
        self._presence_timer = None
        self.out.queue(server_events.presence_changed(instant(), self._user_count))
