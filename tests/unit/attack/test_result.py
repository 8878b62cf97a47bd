"""What is not allowed during an attack, and how it is shown."""

import math

import pytest
from msgspec.structs import replace

from tests.attack import tables
from tests.attack.record import Figures, Newcomers, Troubles
from tests.attack.result import LONG, MIB, Memory, Result

CALM = Figures(messages=60, p50=1.0, p99=4.0, most=6.0, ack_p99=3.0, unanswered=0)
GOOD = Result(
    attack="pings",
    sockets=100,
    before=CALM,
    during=replace(CALM, p99=50.0),
    after=CALM,
    troubles=Troubles(),
    newcomers=Newcomers(joined=30, most=12.0),
    lost_leases=0,
    memory=Memory(before=90 * MIB, during=154 * MIB, after=95 * MIB, redis_before=2 * MIB, redis_after=3 * MIB),
    loop_lag=0.004,
    tally={"bytes": 3 * MIB, "closed 4509": 2, "joins": 0},
)


def test_an_attack_at_the_bar_holds() -> None:
    """The bounds themselves are allowed."""
    assert GOOD.misses(LONG) == []


@pytest.mark.parametrize(
    ("result", "word"),
    [
        (replace(GOOD, during=replace(CALM, p99=50.1)), "p99"),
        (replace(GOOD, during=replace(CALM, p99=math.nan)), "p99"),
        (replace(GOOD, during=replace(CALM, unanswered=1)), "without an answer"),
        (replace(GOOD, troubles=Troubles(errors={"unavailable": 1})), "unavailable"),
        (replace(GOOD, troubles=Troubles(closes={"4003": 1})), "4003"),
        (replace(GOOD, troubles=Troubles(refused=1)), "refused"),
        (replace(GOOD, troubles=Troubles(turned_away={"HTTP 503": 1})), "turned away"),
        (replace(GOOD, lost_leases=1), "leases"),
        (replace(GOOD, memory=replace(GOOD.memory, during=155 * MIB)), "memory"),
    ],
)
def test_whatever_the_witness_notices_is_a_miss(result: Result, word: str) -> None:
    """Each alone, and none is left unsaid."""
    [miss] = result.misses(LONG)
    assert word in miss


def test_the_page_marks_what_is_missed() -> None:
    """One line for each attack, with a tick or a cross."""
    missed = replace(GOOD, troubles=Troubles(closes={"4003": 2, "4000": 1}))
    _, _, good, bad = tables.page_table([GOOD, missed], LONG).splitlines()
    assert good.startswith("| pings | 100 | 1.0/4.0 | 1.0/50.0/6 |")
    assert good.endswith("| 90/154/95 | 4 | ✓ | 3 MiB, 2 closed 4509 |")
    assert "| 2 of 4003, 1 of 4000 |" in bad
    assert "| ✗ |" in bad


def test_the_attackers_tally_is_told_in_words() -> None:
    """Bytes as MiB, and nothing that did not happen."""
    assert tables.told(GOOD.tally) == "3 MiB, 2 closed 4509"
