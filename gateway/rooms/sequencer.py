"""The order of one session's events on a gateway, whatever the subscription does. Pure: no future, no timer, no loop.

Events come from the channel in order, unless the subscription broke. `last_seq` is the last event handed out; a
repeated event is dropped, a gap is first filled from the log while newer events are held back. Whenever Redis is asked,
Redis must hold what was handed out, or it has lost data: then the session gets another epoch, and everyone starts anew.
"""

from collections.abc import Sequence

import msgspec

from broker.sessions.event_log import PAGE, Event
from broker.sessions.live_sessions import Position
from gateway.rooms.effects import Fence, ReadLog, RetryLater, Step

ATTEMPTS = 20


class Missing(msgspec.Struct, frozen=True, gc=False):
    """Events `first` to `last` are in no log any more; the next event comes after them."""

    first: int
    last: int


class Lost(msgspec.Struct, frozen=True, gc=False):
    """What was handed out so far does not fit what comes: everyone must come back and resume."""


# An event is the next one to hand out; the rest as in effects.py.
Result = Event | Missing | Lost | ReadLog | Fence | RetryLater
Results = Sequence[Result]

_LOST = Lost()
_RETRY = RetryLater(Step.LOG)


class Sequencer:
    """`epoch` and `last_seq` are None until somebody is there. At most one `ReadLog` or `Fence` is unanswered."""

    __slots__ = ("_attempts", "_held", "_is_behind", "_is_filling", "_last_body", "_max_attempts", "epoch", "last_seq")

    def __init__(self, max_attempts: int = ATTEMPTS) -> None:
        self.epoch: str | None = None
        self.last_seq: int | None = None
        self._max_attempts = max_attempts
        self._held: list[Event] = []
        # The event at `last_seq`, when it was handed out here: what the log must hold.
        self._last_body: bytes | None = None
        self._is_filling = False
        self._is_behind = False
        self._attempts = 0

    def begin(self, seq: int, epoch: str) -> Results:
        """Somebody is there who has everything up to `seq`."""
        results: list[Result] = []
        if self.epoch not in (None, epoch):
            # Redis lost the session's state and it was made anew: what older members have no longer fits.
            results.append(_LOST)
            self.last_seq = None
            self._is_behind = True
        self.epoch = epoch  # what was heard since the subscription stays
        if self.last_seq is None:
            self.last_seq = seq
            self._last_body = None
            if self._is_behind:
                results += self.catch_up()
        return results

    def heard(self, event: Event) -> Results:
        """A sequenced event arrived from the channel."""
        if self._is_filling:
            self._held.append(event)
        elif self.last_seq is None or event.seq == self.last_seq + 1:
            self.last_seq = event.seq
            self._last_body = event.body
            return (event,)
        elif event.seq > self.last_seq:  # a gap: fetch what is missing, and hold the rest
            self._held.append(event)
            return self._fill(self.last_seq)
        elif event.body != self._last_body:
            # Late, or a number that was given twice because Redis went back to an earlier state.
            return self.catch_up()
        return ()

    def catch_up(self) -> Results:
        """Events may have been missed: read from the log whatever came after the last one."""
        if self.last_seq is None or self._is_filling:
            # The next member asks; or the log is being read, and is read again afterwards.
            self._is_behind = True
            return ()
        self._is_behind = False
        return self._fill(self.last_seq)

    def log_read(self, events: Sequence[Event], position: Position | None) -> Results:
        """The answer to `ReadLog`. The position was read after the log.

        An epoch that is still the same then was the same when the log was read.
        """
        if self.last_seq is None or position is None:  # Redis does not hold the session: whoever comes first loads it
            return self._give_up()
        is_same = position.epoch == self.epoch
        is_rewritten = is_same and self._is_rewritten(events)
        if position.seq < self.last_seq or is_rewritten:
            # Members who were told before the fence could find the old epoch again and go on in it.
            return (Fence(position.epoch, self.last_seq, is_rewritten),)
        if not is_same:
            return self._give_up()
        self._attempts = 0
        return self._hand_out(events, self.last_seq)

    def failed(self) -> Results:
        """Redis could not be asked for what `ReadLog` or `Fence` say: ask again soon, and not for ever."""
        self._attempts += 1
        return (_RETRY,) if self._attempts < self._max_attempts else self._give_up()

    def tick(self) -> Results:
        """The retry delay is over."""
        return self._give_up() if self.last_seq is None else self._fill(self.last_seq)

    def fenced(self) -> Results:
        """The answer to `Fence`: the session has another epoch."""
        return self._give_up()

    def _fill(self, last_seq: int) -> Results:
        self._is_filling = True
        # From the last event on, to see whether it is the one that was handed out.
        return (ReadLog(last_seq),)

    def _is_rewritten(self, events: Sequence[Event]) -> bool:
        """Whether the log has another event where the last one was handed out."""
        if self._last_body is None or not events or events[0].seq != self.last_seq:
            return False
        return events[0].body != self._last_body

    def _hand_out(self, events: Sequence[Event], last_seq: int) -> Results:
        results: list[Result] = []
        for event in events:
            last_seq = self._append(results, event, last_seq)
        if len(events) == PAGE:
            return [*results, *self._fill(last_seq)]
        self._is_filling = False
        held, self._held = self._held, []
        # What the log lacks can't be had here any more; say so rather than ask again.
        for event in held:
            last_seq = self._append(results, event, last_seq)
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
        """Let everyone come back and resume."""
        self._is_filling = False
        self._is_behind = True
        self._attempts = 0
        self._held.clear()
        self.last_seq = None
        return (_LOST,)
