"""Puts one session's events in order, also when the subscription breaks. Pure: no future, no timer, no loop.

The channel brings events in order, unless the subscription broke. `last_seq` is the seq of the last event handed out.
The sequencer drops a repeated event; it fills a gap from the log first, and holds newer events back meanwhile. When the
answer of Redis lacks events that were handed out, Redis has lost data: the session is fenced into a new epoch, and
every member has to resume.
"""

from collections.abc import Sequence

import msgspec

from broker.sessions.event_log import PAGE, Event
from broker.sessions.live_sessions import Position
from gateway.rooms.effects import Fence, ReadLog, RetryLater, Step

ATTEMPTS = 20


class Missing(msgspec.Struct, frozen=True, gc=False):
    """The log no longer holds the events `first` to `last`; the next event is the one after them."""

    first: int
    last: int


class Lost(msgspec.Struct, frozen=True, gc=False):
    """Later events do not continue the events handed out so far: every member has to reconnect and resume."""


# An `Event` is the next one for the members; `ReadLog`, `Fence` and `RetryLater` are effects for the driver.
Result = Event | Missing | Lost | ReadLog | Fence | RetryLater
Results = Sequence[Result]

_LOST = Lost()
_RETRY = RetryLater(Step.LOG)


class Sequencer:
    """`epoch` and `last_seq` are None until the first `begin`. At most one `ReadLog` or `Fence` is unanswered."""

    __slots__ = (
        "_attempts",
        "_held",
        "_held_when_asked",
        "_is_behind",
        "_is_filling",
        "_known_seq",
        "_last_body",
        "_max_attempts",
        "epoch",
        "last_seq",
    )

    def __init__(self, max_attempts: int = ATTEMPTS) -> None:
        self.epoch: str | None = None
        self.last_seq: int | None = None
        self._max_attempts = max_attempts
        self._held: list[Event] = []
        self._held_when_asked = 0
        # The body of the event at `last_seq`, when this sequencer handed it out: the log must hold the same body.
        self._last_body: bytes | None = None
        self._is_filling = False
        self._is_behind = False
        self._attempts = 0
        # An event of this seq was known to exist before the log was asked, in which it was not found; 0: none.
        self._known_seq = 0

    @property
    def is_caught_up(self) -> bool:
        """Whether everything up to `last_seq` was compared with Redis after the last interruption."""
        return self.last_seq is not None and not self._is_filling and not self._is_behind

    def begin(self, seq: int, epoch: str) -> Results:
        """A member came that has every event up to `seq` in this epoch."""
        results: list[Result] = []
        if self.epoch not in (None, epoch):
            # The session's hot state was lost and rebuilt: the events of older members do not continue in this epoch.
            results.append(_LOST)
            self.last_seq = None
            self._is_behind = True
        self.epoch = epoch  # the held events stay: they came after the subscription
        if self.last_seq is None:
            self.last_seq = seq
            self._last_body = None
        if self._is_behind and not self._is_filling:
            results += self.catch_up()
        return results

    def heard(self, event: Event) -> Results:
        """A sequenced event arrived from the channel."""
        if self.last_seq is None or (event.seq == self.last_seq + 1 and not self._is_filling):
            self.last_seq = event.seq
            self._last_body = event.body
            return (event,)
        if event.seq > self.last_seq:  # while there is a gap: fetch what is missing, and hold the rest
            self._held.append(event)
            return () if self._is_filling else self._fill(self.last_seq)
        # Late, or a number that was given twice because Redis went back to an earlier state.
        if event.body == self._last_body:
            return ()
        if self._is_filling:
            self._is_behind = True
            return ()
        return self.catch_up()

    def catch_up(self) -> Results:
        """Events may have been missed: read from the log every event after `last_seq`."""
        if self.last_seq is None or self._is_filling:
            # The next `begin` reads the log; or the log is being read, and will be read again afterwards. Held events
            # may be of a history that Redis has lost since.
            self._is_behind = True
            self._forget_held()
            return ()
        self._is_behind = False
        return self._fill(self.last_seq)

    def log_read(self, events: Sequence[Event], position: Position | None) -> Results:
        """The answer to `ReadLog`.

        The position was read after the log: an epoch that is the same in the position was the same in the log.
        """
        if self.last_seq is None or position is None:  # Redis does not hold the session: the next join loads it
            return self._give_up()
        if self.epoch is None and self._is_continued(events):  # nobody has joined: a server waits for its message
            self.epoch = position.epoch
        is_same = position.epoch == self.epoch
        is_behind = position.seq < self.last_seq
        # Behind is rewritten: other events may get the lost seqs before the fence arrives, which then must not rest.
        is_rewritten = is_same and (is_behind or self._is_rewritten(events))
        if is_behind or is_rewritten:
            # Fence first, then end the members: a member that resumes before the fence would go on in the old epoch.
            return (Fence(position.epoch, self.last_seq, is_rewritten),)
        if not is_same:
            return self._give_up()
        self._attempts = 0
        if not events and self._last_body is not None and not self._known_seq:
            # The log lacks even the last event: Redis has lost it, and may have given its seq again since the log was
            # read. Then the log has another event there by now.
            self._known_seq = position.seq
            return self._fill(self.last_seq)
        return self._hand_out(events, self.last_seq, position.seq)

    def failed(self, *, passes: bool) -> Results:
        """`ReadLog` or `Fence` failed: retry, and give up after `max_attempts` failures in a row.

        A failure that `passes` by itself is no attempt: Redis is away or busy, and has lost nothing.
        """
        if not passes:
            self._attempts += 1
        return (_RETRY,) if self._attempts < self._max_attempts else self._give_up()

    def tick(self) -> Results:
        """The retry delay is over: read the log again."""
        return self._give_up() if self.last_seq is None else self._fill(self.last_seq)

    def fenced(self) -> Results:
        """The answer to `Fence`: the session has a new epoch."""
        return self._give_up()

    def _fill(self, last_seq: int) -> Results:
        self._is_filling = True
        self._held_when_asked = len(self._held)
        # The read starts with the last event itself, to compare it with the event that was handed out.
        return (ReadLog(last_seq),)

    def _is_continued(self, events: Sequence[Event]) -> bool:
        """Whether the log holds the event handed out at `last_seq`."""
        return bool(events) and events[0].seq == self.last_seq and events[0].body == self._last_body

    def _is_rewritten(self, events: Sequence[Event]) -> bool:
        """Whether the log holds another event at `last_seq` than the one handed out."""
        if self._last_body is None or not events or events[0].seq != self.last_seq:
            return False
        return events[0].body != self._last_body

    def _hand_out(self, events: Sequence[Event], last_seq: int, newest_seq: int) -> Results:
        results: list[Result] = []
        for event in events:
            last_seq = self._append(results, event, last_seq)
        if len(events) == PAGE:
            return [*results, *self._fill(last_seq)]
        held, self._held = self._held, []
        for index, event in enumerate(held):
            if event.seq > last_seq + 1 and index >= self._held_when_asked:
                # Heard after the log was asked: the events before it may be in the log by now, or in another epoch.
                self._held = held[index:]
                return [*results, *self._fill(last_seq)]
            # The log was read to its end after this event was held: events that it lacks are announced as a gap.
            last_seq = self._append(results, event, last_seq)
        known_seq, self._known_seq = self._known_seq, 0
        if last_seq < known_seq:  # the end of the log is gone, and no event came after it
            results.append(Missing(last_seq + 1, known_seq))
            self.last_seq = last_seq = known_seq
            self._last_body = None
        if last_seq < newest_seq:  # it was given before the position was read, maybe after the log was
            self._known_seq = newest_seq
            self._is_behind = False
            return [*results, *self._fill(last_seq)]
        self._is_filling = False
        return [*results, *self.catch_up()] if self._is_behind else results

    def _append(self, results: list[Result], event: Event, last_seq: int) -> int:
        """Hand out the event unless it was handed out already; returns the new last seq."""
        if event.seq <= last_seq:
            return last_seq
        if event.seq > last_seq + 1:
            results.append(Missing(last_seq + 1, event.seq - 1))
        results.append(event)
        self.last_seq = event.seq
        self._last_body = event.body
        return event.seq

    def _give_up(self) -> Results:
        """Make every member reconnect and resume."""
        self._is_filling = False
        self._is_behind = True
        self._attempts = self._known_seq = 0
        self._forget_held()
        self.last_seq = None
        return (_LOST,)

    def _forget_held(self) -> None:
        self._held.clear()
        self._held_when_asked = 0
