"""One session on this gateway: its sockets, and the order of what they get. All synchronous.

Events come from the channel in order, unless the subscription broke. `last_seq` is the last event handed out; a
repeated one is dropped, a gap is first filled from the log while newer events are held back.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

import structlog

from broker.errors import BrokerError
from broker.events import Empty, ephemeral, instant
from broker.log import PAGE, Payload, read
from broker.sessions import SessionInfo
from broker.wire import Reply
from gateway.commits import Commits
from gateway.sockets import closes, replies
from gateway.sockets.closes import Ending
from gateway.sockets.frames import text_frame

FILL_ATTEMPTS = 20
FILL_RETRY_SECONDS = 0.5
PRESENCE_SECONDS = 1.0
RECENT_EVENTS = 4096  # kept while joins are under way

log = structlog.get_logger()


class Member(Protocol):
    """A joined socket, as a room sees it."""

    id: str
    wants_batches: bool
    wants_persisted: bool

    @property
    def user_id(self) -> str:
        """Whose connection it is."""

    def write(self, data: bytes) -> None:
        """Send frames now, without waiting."""

    def end(self, ending: Ending) -> None:
        """Close the connection."""


class Desk(Protocol):
    """What a room needs of the hub."""

    def ask_log(self, session_id: str, first: int) -> "asyncio.Future[Reply]":
        """Events from `first` on, at most a page."""

    def ask_position(self, session_id: str) -> "asyncio.Future[Reply]":
        """Epoch, last seq and persisted watermark of the session's hot state."""

    def schedule(self, room: "Room") -> None:
        """Call the room's `flush` at the end of this loop tick."""

    def count(self, events: int, deliveries: int) -> None:
        """Keep the totals."""


class Room:
    """The sockets of one session. `joining` counts joins under way: for these, recent events are kept."""

    __slots__ = (
        "_desk",
        "_fill_attempts",
        "_held",
        "_is_behind",
        "_is_filling",
        "_loop",
        "_out",
        "_presence_timer",
        "_recent",
        "_user_count",
        "_waiting",
        "commits",
        "epoch",
        "info",
        "joining",
        "last_seq",
        "members",
        "users",
    )

    def __init__(self, info: SessionInfo, desk: Desk) -> None:
        self.info = info
        self.members: set[Member] = set()
        self.users: dict[str, Member] = {}
        self.joining = 0
        self.commits = Commits()
        self.epoch: str | None = None
        self.last_seq: int | None = None
        self._desk = desk
        self._loop = asyncio.get_running_loop()
        self._out: list[bytes] = []
        self._recent: deque[Payload] = deque(maxlen=RECENT_EVENTS)
        self._waiting: list[tuple[int, Member]] = []
        self._held: list[Payload] = []
        self._is_filling = False
        self._is_behind = False
        self._fill_attempts = 0
        self._user_count = 0
        self._presence_timer: asyncio.TimerHandle | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nobody is here or about to come."""
        return not self.users and not self.joining

    def attach(self, member: Member, seq: int, epoch: str) -> None:
        """From now on the member gets every event after `seq`."""
        if self.epoch is None:
            self.epoch = epoch  # what was heard since the subscription stays
        elif epoch != self.epoch:
            self._renew(epoch)
        older = self.users.get(member.user_id)
        self.users[member.user_id] = member
        if older is not None:
            older.end(closes.REPLACED)
        if self.last_seq is None:
            self.last_seq = seq
            if self._is_behind:
                self.catch_up()
        if self.last_seq < seq:  # its own join has not come round yet
            self._waiting.append((seq, member))
            return
        self.flush()
        self.members.add(member)
        late = self._since(seq)
        if len(late) != self.last_seq - seq:
            member.end(closes.RESYNC)
        elif late:
            member.write(b"".join(text_frame(event.body) for event in late))
            ending = _ended_by(late, member.user_id)
            if ending is not None:
                member.end(ending)

    def _since(self, seq: int) -> list[Payload]:
        """The recent events after `seq`, in order; fewer when there were too many to keep."""
        late: list[Payload] = []
        for event in reversed(self._recent):
            if event.seq <= seq:
                break
            late.append(event)
        late.reverse()
        return late

    def detach(self, member: Member) -> None:
        """The member gets nothing more."""
        self.members.discard(member)
        self._waiting = [(seq, waiting) for seq, waiting in self._waiting if waiting is not member]
        if self.users.get(member.user_id) is member:
            del self.users[member.user_id]

    def joined(self) -> None:
        """A join under way has ended, well or not."""
        self.joining -= 1
        if not self.joining:
            self._recent.clear()

    def shut(self) -> None:
        """Drop what is scheduled; nobody is here."""
        if self._presence_timer is not None:
            self._presence_timer.cancel()

    def _renew(self, epoch: str) -> None:
        # Redis lost the session's state and it was made anew: what older members have no longer fits.
        self.end_all(closes.RESYNC)
        self.epoch = epoch
        self.last_seq = None
        self._is_behind = True
        self._recent.clear()

    def end_all(self, ending: Ending) -> None:
        """Close every connection of the session here."""
        self.flush()
        for member in list(self.users.values()):
            member.end(ending)

    # What comes from the channel

    def heard(self, event: Payload) -> None:
        """An event arrived from the channel."""
        if not event.seq:
            self._heard_unsequenced(event)
        elif self._is_filling:
            self._held.append(event)
        elif self.last_seq is None or event.seq == self.last_seq + 1:
            self._deliver(event)
        elif event.seq > self.last_seq:  # at a gap, fetch what is missing and hold the rest
            self._held.append(event)
            self._fill()

    def catch_up(self) -> None:
        """Events may have been missed: fetch from the log whatever came after the last one."""
        self._ask_persisted()
        # When nobody is here yet the next socket asks; when the log is being asked, it is asked again afterwards.
        self._is_behind = self.last_seq is None or self._is_filling
        if not self._is_behind:
            self._is_filling = True
            self._compare()

    def _compare(self) -> None:
        self._desk.ask_position(self.info.id).add_done_callback(self._compared)

    def _compared(self, answer: "asyncio.Future[Reply]") -> None:
        if self._is_unanswered(answer, self._compare):
            return
        assert self.last_seq is not None
        epoch, seq, _ = answer.result()
        # After Redis lost data the numbers start anew, or some are given again: nothing here fits them.
        if (epoch or b"").decode() != self.epoch or int(seq) < self.last_seq:
            self._give_up()
        else:
            self._fill()

    def _ask_persisted(self) -> None:
        if self.commits.is_awaited:
            self._desk.ask_position(self.info.id).add_done_callback(self._told_persisted)

    def _told_persisted(self, answer: "asyncio.Future[Reply]") -> None:
        if answer.exception() is not None:
            self._loop.call_later(FILL_RETRY_SECONDS, self._ask_persisted)
        elif (persisted := answer.result()[2]) is not None:
            self.commits.committed(int(persisted))

    def _is_unanswered(self, answer: "asyncio.Future[Reply]", ask: Callable[[], None]) -> bool:
        """Whether Redis could not be asked: then ask again soon, and not for ever."""
        if not isinstance(answer.exception(), BrokerError):
            return False
        self._fill_attempts += 1
        if self._fill_attempts < FILL_ATTEMPTS:
            self._loop.call_later(FILL_RETRY_SECONDS, ask)
        else:
            self._give_up()
        return True

    def _fill(self) -> None:
        self._is_filling = True
        assert self.last_seq is not None
        self._desk.ask_log(self.info.id, self.last_seq + 1).add_done_callback(self._filled)

    def _filled(self, answer: "asyncio.Future[Reply]") -> None:
        if self._is_unanswered(answer, self._fill):
            return
        events = read(answer.result())
        self._fill_attempts = 0
        for event in events:
            self._deliver_from_log(event)
        if len(events) == PAGE:
            self._fill()
            return
        self._is_filling = False
        held, self._held = self._held, []
        # What the log lacks can't be had here any more; say so rather than ask again.
        for event in held:
            self._deliver_from_log(event)
        if self._is_behind:
            self.catch_up()

    def _give_up(self) -> None:
        """Let everyone come back and resume."""
        self._is_filling = False
        self._is_behind = True
        self._fill_attempts = 0
        self._held.clear()
        self.last_seq = None
        self.end_all(closes.RESYNC)

    def _deliver_from_log(self, event: Payload) -> None:
        assert self.last_seq is not None
        if event.seq <= self.last_seq:
            return
        if event.seq > self.last_seq + 1:
            log.warning("room.gap", session_id=self.info.id, first=self.last_seq + 1, last=event.seq - 1)
            self._queue(replies.gap(self.last_seq + 1, event.seq - 1))
        self._deliver(event)

    def _deliver(self, event: Payload) -> None:
        self.last_seq = event.seq
        if event.kind == b"r":
            self._remove(event.subject)
        self._queue(event.body)
        if event.kind == b"m" and self.info.spirit:
            self._queue(ephemeral("spirit_thinking", instant(), Empty()))
        if self.joining:
            self._recent.append(event)
        if self._waiting:
            self._admit_waiting()
        if event.kind == b"c":
            self.end_all(closes.SESSION_CLOSED)

    def _admit_waiting(self) -> None:
        self.flush()
        assert self.last_seq is not None
        ready = [(seq, member) for seq, member in self._waiting if seq <= self.last_seq]
        self._waiting = [(seq, member) for seq, member in self._waiting if seq > self.last_seq]
        for seq, member in ready:
            if seq == self.last_seq:
                self.members.add(member)
            else:  # the log lacks what it should get first
                member.end(closes.RESYNC)

    def _heard_unsequenced(self, event: Payload) -> None:
        match event.kind:
            case b"t":
                self._send_to_others(event)
            case b"x":
                self._replace(event)
            case b"p":
                self._presence(int(event.body))
            case b"r":
                self._remove(event.subject)
            case b"w":
                self._committed(int(event.body))
            case b"d":
                self.commits.refused(int(event.body))
            case _:
                self._queue(event.body)

    def _send_to_others(self, event: Payload) -> None:
        self.flush()
        frame = text_frame(event.body)
        own = self.users.get(event.subject.decode())
        for member in list(self.members):  # a full buffer may end, and so detach, a member on the way
            if member is not own:
                member.write(frame)
        self._desk.count(1, len(self.members))

    def _committed(self, seq: int) -> None:
        self.commits.committed(seq)
        frame = text_frame(replies.persisted(seq))
        for member in [member for member in self.members if member.wants_persisted]:
            member.write(frame)

    def _replace(self, event: Payload) -> None:
        member = self.users.get(event.subject.decode())
        if member is not None and member.id != event.body.decode():
            member.end(closes.REPLACED)

    def _remove(self, user_id: bytes) -> None:
        member = self.users.get(user_id.decode())
        if member is not None:
            self.flush()
            member.end(closes.REMOVED)

    def _presence(self, user_count: int) -> None:
        # At most one a second: a change waits, and whatever comes meanwhile goes with it.
        self._user_count = user_count
        if self._presence_timer is None:
            self._presence_timer = self._loop.call_later(PRESENCE_SECONDS, self._send_presence)

    def _send_presence(self) -> None:
        self._presence_timer = None
        self._queue(replies.presence_changed(instant(), self._user_count))

    # What goes to the sockets

    def _queue(self, body: bytes) -> None:
        if not self._out:
            self._desk.schedule(self)
        self._out.append(body)

    def flush(self) -> None:
        """Send what is queued: every frame is built once, and each socket gets one write."""
        bodies = self._out
        if not bodies:
            return
        self._out = []
        frames = b"".join(map(text_frame, bodies))
        members = list(self.members)  # a full buffer may end, and so detach, a member on the way
        if len(bodies) > 1 and any(member.wants_batches for member in members):
            batch = text_frame(b"[" + b",".join(bodies) + b"]")
            for member in members:
                member.write(batch if member.wants_batches else frames)
        else:
            for member in members:
                member.write(frames)
        self._desk.count(len(bodies), len(bodies) * len(members))


def _ended_by(late: Iterable[Payload], user_id: str) -> Ending | None:
    """How the connection of a user ends to whom these events come late, if it does."""
    for event in late:
        if event.kind == b"c":
            return closes.SESSION_CLOSED
        if event.kind == b"r" and event.subject.decode() == user_id:
            return closes.REMOVED
    return None
