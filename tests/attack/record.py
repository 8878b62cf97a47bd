"""What the witness saw, with times of CLOCK_MONOTONIC, which all processes of a machine share; and figures of it.

Pure: times come in, figures go out.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec


class Send(msgspec.Struct, gc=False):
    """One message of the witness: when it was sent, received on the other gateway, and acknowledged; 0.0: never."""

    sent_at: float
    received_at: float = 0.0
    acked_at: float = 0.0


class Record(msgspec.Struct):
    """Everything that the witness saw until `ended_at`."""

    sends: list[Send] = []
    errors: list[tuple[float, str]] = []
    """Error events of the gateways, by code."""
    closes: list[tuple[float, int]] = []
    """Connections that ended, by close code; 0: without a close frame."""
    refused: list[float] = []
    """Attempts to come back that failed."""
    newcomers: list[tuple[float, float]] = []
    """Joins of new users, with the seconds from connecting to the welcome."""
    turned_away: list[tuple[float, str]] = []
    """New users who were not let in, with the reason."""
    ended_at: float = 0.0


class Figures(msgspec.Struct, frozen=True):
    """Of the messages of one phase. Times in milliseconds."""

    messages: int
    p50: float
    p99: float
    most: float
    ack_p99: float
    unanswered: int
    """Messages that never arrived at the other user, or never got an `ack`."""


class Troubles(msgspec.Struct, frozen=True):
    """What went wrong for the witness in a phase."""

    errors: dict[str, int] = {}
    closes: dict[str, int] = {}
    refused: int = 0
    turned_away: dict[str, int] = {}


class Newcomers(msgspec.Struct, frozen=True):
    """New users who were let in during a phase, and the longest that one waited, in milliseconds."""

    joined: int
    most: float


def figures(record: Record, begin: float, end: float) -> Figures:
    """The figures of the messages that were sent from `begin` to `end`.

    A message that never arrived counts as late as the record is long: otherwise a gateway that answers nobody would
    look fast.
    """
    sends = [one for one in record.sends if begin <= one.sent_at < end]
    delays = sorted(_milliseconds(one.sent_at, one.received_at or record.ended_at) for one in sends)
    acks = sorted(_milliseconds(one.sent_at, one.acked_at or record.ended_at) for one in sends)
    return Figures(
        messages=len(sends),
        p50=quantile(delays, 0.5),
        p99=quantile(delays, 0.99),
        most=quantile(delays, 1.0),
        ack_p99=quantile(acks, 0.99),
        unanswered=sum(not (one.received_at and one.acked_at) for one in sends),
    )


def troubles(record: Record, begin: float, end: float) -> Troubles:
    """What went wrong from `begin` to `end`."""
    return Troubles(
        errors=_counted(code for at, code in record.errors if begin <= at < end),
        closes=_counted(str(code) for at, code in record.closes if begin <= at < end),
        refused=sum(begin <= at < end for at in record.refused),
        turned_away=_counted(what for at, what in record.turned_away if begin <= at < end),
    )


def newcomers(record: Record, begin: float, end: float) -> Newcomers:
    """Those who came from `begin` to `end`."""
    waits = [seconds for at, seconds in record.newcomers if begin <= at < end]
    return Newcomers(len(waits), _milliseconds(0.0, max(waits, default=0.0)))


def quantile(ordered: Sequence[float], part: float) -> float:
    """The nearest rank of values in ascending order; NaN without values."""
    if not ordered:
        return math.nan
    return ordered[min(max(math.ceil(part * len(ordered)) - 1, 0), len(ordered) - 1)]


def _counted(found: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(found).items()))


def _milliseconds(begin: float, end: float) -> float:
    return round(1000 * (end - begin), 2)
