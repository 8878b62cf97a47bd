"""Hands a session's events out once and in order, whatever the subscription does. All synchronous.

Events come from the channel in order, unless the subscription broke. `last_seq` is the last event handed out; a
repeated one is dropped, a gap is first filled from the log while newer events are held back.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from broker.errors import BrokerError
from broker.log import PAGE, Payload, read
from broker.wire import Reply

ATTEMPTS = 20
RETRY_SECONDS = 0.5


class Source(Protocol):
    """Where missed events are asked for."""

    def ask_log(self, session_id: str, first: int) -> "asyncio.Future[Reply]":
        """Events from `first` on, at most a page."""

    def ask_position(self, session_id: str) -> "asyncio.Future[Reply]":
        """Epoch, last seq and persisted watermark of the session's hot state."""


class Sink(Protocol):
    """Who gets the events."""

    def deliver(self, event: Payload) -> None:
        """The next event."""

    def missing(self, first: int, last: int) -> None:
        """These events are in no log any more; the next one comes after them."""

    def lost(self) -> None:
        """What was handed out so far does not fit what comes: everyone must start anew."""


class Order:
    """The order of one session's events on this gateway; both are None until somebody is there."""

    __slots__ = (
        "_attempts",
        "_held",
        "_is_behind",
        "_is_filling",
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
        self._held: list[Payload] = []
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
            if self._is_behind:
                self.catch_up()

    def heard(self, event: Payload) -> None:
        """A sequenced event arrived from the channel."""
        if self._is_filling:
            self._held.append(event)
        elif self.last_seq is None or event.seq == self.last_seq + 1:
            self._deliver(event)
        elif event.seq > self.last_seq:  # at a gap, fetch what is missing and hold the rest
            self._held.append(event)
            self._fill()

    def catch_up(self) -> None:
        """Events may have been missed: fetch from the log whatever came after the last one."""
        # When nobody is here yet the next socket asks; when the log is being asked, it is asked again afterwards.
        self._is_behind = self.last_seq is None or self._is_filling
        if not self._is_behind:
            self._is_filling = True
            self._compare()

    def _compare(self) -> None:
        self._source.ask_position(self._session_id).add_done_callback(self._compared)

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

    def _fill(self) -> None:
        self._is_filling = True
        assert self.last_seq is not None
        self._source.ask_log(self._session_id, self.last_seq + 1).add_done_callback(self._filled)

    def _filled(self, answer: "asyncio.Future[Reply]") -> None:
        if self._is_unanswered(answer, self._fill):
            return
        events = read(answer.result())
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

    def _deliver_from_log(self, event: Payload) -> None:
        assert self.last_seq is not None
        if event.seq <= self.last_seq:
            return
        if event.seq > self.last_seq + 1:
            self._sink.missing(self.last_seq + 1, event.seq - 1)
        self._deliver(event)

    def _deliver(self, event: Payload) -> None:
        self.last_seq = event.seq
        self._sink.deliver(event)
