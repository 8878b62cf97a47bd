"""Counts a worker's work in plain numbers, which a scrape of the metrics reads."""

import time
from collections.abc import Sequence
from datetime import datetime

from metrics.definitions import PERSIST_SECONDS, SECONDS
from metrics.histogram import Histogram
from persistence.rows import Record

# Reading a time stamp takes 0.4 µs, a row 10 µs.
_EVERY = 16


class Counters:
    """All lanes of one worker count here."""

    def __init__(self) -> None:
        self.batches = 0
        self.events = 0
        self.dead_letters = 0
        self.takeovers = 0
        self.lag = 0
        self.batch_seconds = Histogram(SECONDS)
        self.persist_seconds = Histogram(PERSIST_SECONDS)

    def committed(self, records: Sequence[Record]) -> None:
        """Count records that are in Postgres now. An age that a gateway's fast clock makes negative counts as 0."""
        now = time.time()
        for record in records[::_EVERY]:
            self.persist_seconds.observe(max(0.0, now - datetime.fromisoformat(record.event.ts).timestamp()))

    def settled(self, records: Sequence[Record], seconds: float) -> None:
        """Count a batch that is written, acknowledged and announced to waiting publishers."""
        self.batches += 1
        self.events += len(records)
        self.batch_seconds.observe(seconds)
