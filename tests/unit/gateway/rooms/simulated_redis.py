"""What Redis holds of one session, in memory, for random histories: seats, log and channel, and how it loses them."""

from collections import deque
from collections.abc import Sequence
from itertools import count

import msgspec

from broker.sessions.epochs import seq_above
from broker.sessions.event_log import PAGE, Event, EventKind
from broker.sessions.live_sessions import Position, SessionInfo

NOBODY = "-"


class Snapshot(msgspec.Struct, frozen=True):
    """What a Redis that goes back comes back with."""

    is_known: bool
    epoch: str
    seq: int
    persisted: int
    is_closed: bool
    log: tuple[Event, ...]
    unwritten: tuple[Event, ...]
    last_body: bytes | None


class SimulatedRedis:
    """One session. What is true for ever (`removed`, `committed`, `epoch_of`, …) is kept whatever Redis loses."""

    def __init__(self, info: SessionInfo) -> None:
        self.info = info
        self.epoch = "epoch-0"  # numbers begin with 1
        self.seq = self.persisted = self.highest_seq = 0
        self.is_known = True
        self.is_closed = False
        self.is_rewritten = False
        self.log: list[Event] = []
        self.unwritten: list[Event] = []
        self.holders: dict[str, tuple[str, ...]] = {}
        # The channel: what was published, and the gateway has not heard.
        self.is_subscribed = False
        self.channel: deque[Event] = deque()
        # What is true for ever.
        self.was_closed = False
        self.removed: dict[str, int] = {}
        self._connections: dict[str, list[str]] = {}
        self.replaced: set[str] = set()
        self.epoch_of: dict[bytes, str] = {}
        self.previous: dict[bytes, bytes | None] = {}
        self._last_body: bytes | None = None
        self.committed: set[bytes] = set()
        self.refused: set[bytes] = set()
        self.refused_seqs: set[int] = set()
        self._numbers = count(1)
        self._snapshot = self._now()

    @property
    def can_publish(self) -> bool:
        """Whether the session takes events."""
        return self.is_known and not self.is_closed

    # What clients, servers and workers do

    def emit(self, kind: EventKind, user_id: str = NOBODY) -> Event:
        """Give an event the next seq, and publish it."""
        self.seq += 1
        self.highest_seq = max(self.highest_seq, self.seq)
        body = b'{"type":"%s","seq":%d,"number":%d}' % (kind.name.lower().encode(), self.seq, next(self._numbers))
        event = Event(self.seq, kind, user_id, body)
        self.epoch_of[body] = self.epoch
        self.previous[body] = self._last_body
        self._last_body = body
        self.log.append(event)
        self.unwritten.append(event)
        self.publish(event)
        return event

    def publish(self, event: Event) -> None:
        """Send an event through the channel."""
        if self.is_subscribed:
            self.channel.append(event)

    def seat(self, user_id: str, connection_id: str) -> tuple[int, str] | None:
        """Take a seat, or come back to it: the last seq and the epoch; None when the user is not admitted."""
        if not self.is_known:
            self._begin_epoch()
            self.is_known = True
        if self.is_closed or user_id in self.removed:
            return None
        held = self.holders.get(user_id, ())
        if self.info.multiple_connections:
            self.holders[user_id] = (*held, connection_id)
        else:
            self.holders[user_id] = (connection_id,)
            self.replaced.update(self._connections.setdefault(user_id, []))
            self._connections[user_id].append(connection_id)
            for older in held:
                self.publish(Event(0, EventKind.REPLACED, user_id, older.encode()))
        if not held and self.info.presence == "full":
            self.emit(EventKind.OTHER, user_id)
        return self.seq, self.epoch

    def leave(self, user_id: str, connection_id: str) -> None:
        """A connection gives up its hold on the seat."""
        left = tuple(other for other in self.holders.get(user_id, ()) if other != connection_id)
        if left:
            self.holders[user_id] = left
        else:
            self.holders.pop(user_id, None)

    def remove(self, user_id: str) -> None:
        """The host removes the user."""
        self.holders.pop(user_id, None)
        if self.info.presence == "full":
            self.removed[user_id] = self.emit(EventKind.USER_REMOVED, user_id).seq
        else:
            self.removed[user_id] = 0
            self.publish(Event(0, EventKind.USER_REMOVED, user_id, b""))

    def close(self) -> None:
        """The host closes the session."""
        self.is_closed = self.was_closed = True
        self.holders.clear()
        self.emit(EventKind.SESSION_CLOSED)

    def commit(self) -> None:
        """The worker writes everything; not while numbers stand for two events, which the worker notices itself."""
        if self.is_known and not self.is_rewritten:
            self.committed.update(event.body for event in self.unwritten if event.body not in self.refused)
            self.unwritten.clear()
            self.persisted = self.seq
            self.publish(Event(0, EventKind.COMMITTED, NOBODY, b"%d" % self.seq))

    def refuse(self, event: Event) -> None:
        """Postgres refuses the event."""
        self.refused.add(event.body)
        self.refused_seqs.add(event.seq)
        self.publish(Event(0, EventKind.REFUSED, NOBODY, b"%d" % event.seq))

    # How it loses data

    def take_snapshot(self) -> None:
        """Save what a restart would bring back."""
        self._snapshot = self._now()

    def go_back(self) -> None:
        """Come back with the last snapshot: what came after it is lost, and its numbers are given again."""
        saved = self._snapshot
        is_behind = (self.seq, self.epoch) != (saved.seq, saved.epoch)
        self.is_rewritten = self.is_rewritten or is_behind
        self.is_known = saved.is_known
        self.epoch, self.seq, self.persisted, self.is_closed = saved.epoch, saved.seq, saved.persisted, saved.is_closed
        self.log, self.unwritten = list(saved.log), list(saved.unwritten)
        self._last_body = saved.last_body

    def lose_channel(self) -> None:
        """The subscription breaks, and what was under way is lost."""
        self.channel.clear()

    def forget(self) -> None:
        """Lose the session: the next join loads it in another epoch."""
        self.is_known = self.is_rewritten = False
        self.log.clear()
        self.holders.clear()

    def trim(self, kept: int) -> None:
        """Drop all but the newest events of the log, and those that Postgres lacks."""
        newest = self.log[max(0, len(self.log) - kept) :]
        self.log = [event for event in self.log if event.seq > self.persisted or event in newest]

    # What gateways ask

    def range(self, first: int, limit: int = PAGE) -> Sequence[Event]:
        """A page of the log."""
        return [event for event in self.log if event.seq >= first][:limit]

    def position(self) -> Position | None:
        """How far the session has come; None when Redis does not hold it."""
        return Position(self.epoch, self.seq, self.persisted) if self.is_known else None

    def refused_among(self, seqs: Sequence[int]) -> Sequence[int]:
        """Which of these messages Postgres has refused; the marks are of seqs, whichever epoch has given them."""
        return [seq for seq in seqs if seq in self.refused_seqs]

    def fence(self, epoch: str, seen: int, *, is_rewritten: bool) -> None:
        """What `fence.lua` does."""
        if self.is_known and self.epoch == epoch and (self.seq < seen or is_rewritten):
            self._begin_epoch()

    def _begin_epoch(self) -> None:
        self.epoch = f"epoch-{next(self._numbers)}"
        self.seq = self.highest_seq = seq_above(self.highest_seq)
        self.log.clear()
        self.is_rewritten = False

    def _now(self) -> Snapshot:
        log, unwritten = tuple(self.log), tuple(self.unwritten)
        return Snapshot(
            self.is_known, self.epoch, self.seq, self.persisted, self.is_closed, log, unwritten, self._last_body
        )
