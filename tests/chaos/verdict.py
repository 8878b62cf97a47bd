"""What the checker found in one ledger."""

from collections.abc import Sequence
from typing import Final

import msgspec

_SHOWN_PROBLEMS: Final = 30


class Counts(msgspec.Struct, frozen=True):
    """How much there was of everything. Deliveries are counted at the clients, those from the history too."""

    clients: int = 0
    faults: int = 0
    sent: int = 0
    acknowledged: int = 0
    delivered: int = 0
    rows: int = 0
    reconnects: int = 0


class Wrongs(msgspec.Struct, frozen=True):
    """How much was wrong; all of them must be 0.

    lost: an acknowledged message without its row, or missing at a client; an event skipped unannounced. duplicated: a
    message delivered or stored twice. reordered: events out of order, or clients that disagree. phantom: rows and
    deliveries of what nobody sent, deliveries of what was never stored. seats: users present that should not be, and
    the other way round. flaps: users who were seen to leave though they came back in time, or left twice. broken:
    messages that were refused for good, and demands that were not met.
    """

    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    phantom: int = 0
    seats: int = 0
    flaps: int = 0
    broken: int = 0


class Quantiles(msgspec.Struct, frozen=True):
    """Of seconds from the begin of a reconnect to being caught up."""

    p50: float
    p99: float
    most: float


class Verdict(msgspec.Struct, frozen=True):
    """The result of one scenario with one seed."""

    scenario: str
    seed: int
    is_short: bool
    counts: Counts
    wrongs: Wrongs
    faults: Sequence[str]
    measures: dict[str, float]
    demands: dict[str, tuple[float, float]]
    problems: Sequence[str]
    recovery: Quantiles | None = None

    @property
    def is_good(self) -> bool:
        """Whether nothing was wrong."""
        return not any(msgspec.structs.astuple(self.wrongs))


class Problems:
    """Counts what is wrong, and keeps the first of it in words."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = dict.fromkeys(Wrongs.__struct_fields__, 0)
        self.said: list[str] = []

    def add(self, kind: str, text: str, count: int = 1) -> None:
        """Something is wrong."""
        self.counts[kind] += count
        if len(self.said) < _SHOWN_PROBLEMS:
            self.said.append(f"{kind}: {text}")

    def wrongs(self) -> Wrongs:
        """The counts."""
        return Wrongs(**self.counts)
