"""What this gateway counts as it happens, beyond what its parts know of themselves; plain numbers, read when asked."""

from collections import Counter

from broker.errors import BacklogFullError, BrokerError, SessionClosedError, SessionUnknownError
from gateway.protocol.close_codes import Ending
from gateway.protocol.server_events import Resumed
from gateway.stopwatch import RelayTimer
from metrics.definitions import CLOSE_REASON

_REASONS = frozenset(CLOSE_REASON.values)
_FAILURES: dict[type[BrokerError], str] = {
    BacklogFullError: "backlog",
    SessionClosedError: "closed",
    SessionUnknownError: "unknown",
}


class Counters:
    """Counts by label. Every label's values are bounded, whatever clients send."""

    __slots__ = (
        "closed",
        "gap_events",
        "joins",
        "joins_refused",
        "log_reads",
        "publishes_failed",
        "replayed_events",
        "replays",
        "resyncs",
        "slow_consumers",
        "stopwatch",
        "upgrades_refused",
    )

    def __init__(self) -> None:
        self.joins: Counter[str] = Counter()
        self.joins_refused: Counter[str] = Counter()
        self.upgrades_refused: Counter[str] = Counter()
        self.closed: Counter[str] = Counter()
        self.publishes_failed: Counter[str] = Counter()
        self.log_reads = 0
        self.gap_events = 0
        self.replays = 0
        self.replayed_events = 0
        self.slow_consumers = 0
        self.resyncs = 0
        self.stopwatch = RelayTimer()

    def joined(self, resumed: Resumed, *, is_back: bool) -> None:
        """Somebody got a seat, as a new one or to resume."""
        self.joins[resumed.source if is_back else "new"] += 1

    def join_refused(self, ending: Ending) -> None:
        """Somebody got none."""
        self.joins_refused[ending.name] += 1

    def ended(self, ending: Ending) -> None:
        """This side closed a connection; a name that is not in the contract's table is what the codec found wrong."""
        self.closed[ending.name if ending.name in _REASONS else "violation"] += 1

    def publish_failed(self, error: BrokerError) -> None:
        """A message was not published."""
        self.publishes_failed[_FAILURES.get(type(error), "unavailable")] += 1
