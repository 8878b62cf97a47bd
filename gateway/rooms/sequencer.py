"""Hands a session's events out once and in order, whatever the subscription does. All synchronous.

Events come from the channel in order, unless the subscription broke. `last_seq` is the last event handed out; a
repeated one is dropped, a gap is first filled from the log while newer events are held back. Whenever Redis is asked,
it must hold what was handed out, or it has lost data: then the session gets another epoch, and everyone starts anew.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol

from broker.errors import BrokerError
from broker.redis.connection import Reply
from broker.sessions.event_log import PAGE, Event, read

ATTEMPTS = 20
RETRY_SECONDS = 0.5


class Source(Protocol):
    """Where missed events are asked for."""

    def ask_log(self, session_id: str, first: int) -> "asyncio.Future[Reply]":
        """Events from `first` on, at most a page."""

    def ask_position(self, session_id: str) -> "asyncio.Future[Reply]":
        """Epoch, last seq and persisted watermark of the session's hot state."""

    def fence(self, session_id: str, *, epoch: str, seen: int, is_rewritten: bool) -> "asyncio.Future[Reply]":
        """Give the session another epoch: Redis is behind `seen`, or holds something else there."""


class Sink(Protocol):
    """Who gets the events."""

    def deliver(self, event: Event) -> None:
        """The next event."""

    def missing(self, first: int, last: int) -> None:
        """These events are in no log any more; the next one comes after them."""

    def lost(self) -> None:
        """What was handed out so far does not fit what comes: everyone must start anew."""


class Sequencer:
    """The order of one session's events on this gateway; both are None until somebody is there."""

    __slots__ = (
        "_attempts",
        "_held",
        "_is_behind",
        "_is_filling",
        "_last_body",
        "_session_id",
        "_sink",
        "_source",
        "epoch",
        "last_seq",
    )

    def __init__(self, session_id: str, source: Source, sink: Sink) -> None:
        self.epoch: str | None = None
        self.last_seq: int | None = None
        self._session_id = session_id
        self._source = source
        self._sink = sink
        self._held: list[Event] = []
        # The event at `last_seq`, when it was handed out here: what the log must hold.
        self._last_body: bytes | None = None
        self._is_filling = False
        self._is_behind = False
        self._attempts = 0

    def begin(self, seq: int, epoch: str) -> None:
        """Somebody is there who has everything up to `seq`."""
        if self.epoch not in (None, epoch):
            # Redis lost the session's state and it was made anew: what older members have no longer fits.
            self._sink.lost()
            self.last_seq = None
            self._is_behind = True
        self.epoch = epoch  # what was heard since the subscription stays
        if self.last_seq is None:
            self.last_seq = seq
            self._last_body = None
            if self._is_behind:
                self.catch_up()

    def heard(self, event: Event) -> None:
        """A sequenced event arrived from the channel."""
        if self._is_filling:
            self._held.append(event)
        elif self.last_seq is None or event.seq == self.last_seq + 1:
            self._deliver(event)
        elif event.seq > self.last_seq:  # at a gap, fetch what is missing and hold the rest
            self._held.append(event)
            self._fill()
        elif event.body != self._last_body:
            # Late, or a number that was given twice because Redis went back to an earlier state.
            self.catch_up()

    def catch_up(self) -> None:
        """Events may have been missed: fetch from the log whatever came after the last one."""
        # When nobody is here yet the next socket asks; when the log is being asked, it is asked again afterwards.
        self._is_behind = self.last_seq is None or self._is_filling
        if not self._is_behind:
            self._fill()

    def _fill(self) -> None:
        self._is_filling = True
        assert self.last_seq is not None
        # From the last event on, to see whether it is the one that was handed out. The position is asked after the log:
        # an epoch that is still the same then was the same when the log was read.
        events = self._source.ask_log(self._session_id, self.last_seq)
        events.add_done_callback(_retrieve)
        position = self._source.ask_position(self._session_id)
        position.add_done_callback(partial(self._filled, events))

    def _filled(self, answer: "asyncio.Future[Reply]", position: "asyncio.Future[Reply]") -> None:
        if self._is_unanswered(position, self._fill) or self._is_unanswered(answer, self._fill):
            return
        events = read(answer.result())
        if not self._still_fits(position.result(), events):
            return
        self._attempts = 0
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

    def _still_fits(self, position: Reply, events: list[Event]) -> bool:
        """Whether Redis holds what was handed out; if not, it is fenced off, and everyone sent to come back."""
        assert self.last_seq is not None
        epoch, seq, _ = position
        if epoch is None:
            self._give_up()  # to be loaded from Postgres by whoever comes first
            return False
        is_same = epoch.decode() == self.epoch
        is_rewritten = is_same and self._is_rewritten(events)
        if int(seq) < self.last_seq or is_rewritten:
            # Told before that, they could find the old epoch again and go on in it.
            fenced = self._source.fence(
                self._session_id, epoch=epoch.decode(), seen=self.last_seq, is_rewritten=is_rewritten
            )
            fenced.add_done_callback(self._fenced)
        elif not is_same:
            self._give_up()
        else:
            return True
        return False

    def _is_rewritten(self, events: list[Event]) -> bool:
        """Whether the log has another event where the last one was handed out."""
        if self._last_body is None or not events or events[0].seq != self.last_seq:
            return False
        return events[0].body != self._last_body

    def _fenced(self, answer: "asyncio.Future[Reply]") -> None:
        if not self._is_unanswered(answer, self._fill):
            self._give_up()

    def _is_unanswered(self, answer: "asyncio.Future[Reply]", ask: Callable[[], None]) -> bool:
        """Whether Redis could not be asked: then ask again soon, and not for ever."""
        if not isinstance(answer.exception(), BrokerError):
            return False
        self._attempts += 1
        if self._attempts < ATTEMPTS:
            answer.get_loop().call_later(RETRY_SECONDS, ask)
        else:
            self._give_up()
        return True

    def _give_up(self) -> None:
        """Let everyone come back and resume."""
        self._is_filling = False
        self._is_behind = True
        self._attempts = 0
        self._held.clear()
        self.last_seq = None
        self._sink.lost()

    def _deliver_from_log(self, event: Event) -> None:
        assert self.last_seq is not None
        if event.seq <= self.last_seq:
            return
        if event.seq > self.last_seq + 1:
            self._sink.missing(self.last_seq + 1, event.seq - 1)
        self._deliver(event)

    def _deliver(self, event: Event) -> None:
        self.last_seq = event.seq
        self._last_body = event.body
        self._sink.deliver(event)


def _retrieve(answer: "asyncio.Future[Reply]") -> None:
    answer.exception()
