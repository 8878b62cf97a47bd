"""Checks that published events arrive here: lost probes make the gateway unready, and reconnect to Redis."""

import asyncio
import contextlib

import structlog

from broker.errors import BrokerError
from broker.pubsub.relay_probe import ProbeChannel
from broker.redis.link import Link
from metrics.definitions import SECONDS
from metrics.histogram import Histogram

INTERVAL_SECONDS = 2.0
UNREADY_AFTER = 3
# The longest interval between reconnects, in probes: a Redis that refuses for an hour is not redialled every 6 s.
LONGEST_REDIAL = 24

log = structlog.get_logger()


class RelayProbe:
    """Publishes a relay probe at every interval while the link is up; `run` is the task.

    `sent_total`, `lost_total` and `round_trips` (seconds, of the probes that came in time) are for metrics.
    """

    def __init__(self, channel: ProbeChannel, link: Link, *, interval_seconds: float = INTERVAL_SECONDS) -> None:
        self.sent_total = 0
        self.lost_total = 0
        self.round_trips = Histogram(SECONDS)
        self._channel = channel
        self._keeper = link.keeper
        self._lost_in_a_row = 0
        self._redial_at = UNREADY_AFTER
        self._is_proven = False
        self._problem = ""
        self._is_new = asyncio.Event()
        self._interval_seconds = interval_seconds

    @property
    def problem(self) -> str | None:
        """Why events may not arrive at this gateway; None when they arrive."""
        is_up = self._keeper.is_up
        if self._lost_in_a_row >= UNREADY_AFTER:
            return self._problem if is_up else f"{self._problem}; dialling again"
        if not is_up:
            return "Redis can't be reached"
        return None if self._is_proven else "no event has come back from Redis yet"

    async def run(self) -> None:
        """Send probes until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._keeper.wait_up()
            self._is_new.clear()
            next_at = loop.time() + self._interval_seconds
            await self._send()
            await self._rest(next_at - loop.time())

    def heard(self, payload: bytes) -> None:
        """A probe came back, in time or late: events arrive."""
        del payload  # any probe proves that events arrive
        self._channel.heard()
        if self._lost_in_a_row >= UNREADY_AFTER:
            log.info("relay_probe.heard", lost=self._lost_in_a_row)
        self._lost_in_a_row = 0
        self._redial_at = UNREADY_AFTER
        self._is_proven = True

    async def _send(self) -> None:
        now = asyncio.get_running_loop().time
        sent_at = now()
        self.sent_total += 1
        try:
            await self._channel.probe(self.sent_total, self._interval_seconds)
        except BrokerError as error:
            self._lost(str(error))
        else:
            self.round_trips.observe(now() - sent_at)

    def _lost(self, problem: str) -> None:
        self.lost_total += 1
        self._lost_in_a_row += 1
        self._problem = problem
        log.warning("relay_probe.lost", reason=problem, lost=self._lost_in_a_row)
        if self._lost_in_a_row >= self._redial_at:
            self._redial_at += min(self._redial_at, LONGEST_REDIAL)
            self._keeper.redial(problem)

    def linked(self) -> None:
        """The link has a new connection, maybe to another Redis process, or to one that still loads its data."""
        self._is_proven = False
        self._is_new.set()

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._is_new.wait()
