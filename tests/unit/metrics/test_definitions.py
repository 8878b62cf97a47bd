"""The table of metrics keeps the conventions, agrees with what it speaks of, and is what the page says."""

import re

import pytest

from gateway.protocol import close_codes
from metrics import page
from metrics.definitions import CLOSE_REASON, DEFINITIONS, REFUSAL, Definition

UNITS = ("_seconds", "_bytes", "_total", "_info")
# Gauges that count things, and those that are 0 or 1.
COUNTED = ("connections", "sessions", "entries", "letters", "partitions", "revocations")
TRUE_OR_FALSE = ("ready", "draining", "up")


@pytest.mark.parametrize("one", DEFINITIONS, ids=lambda one: one.name)
def test_names_follow_the_conventions(one: Definition) -> None:
    """Counters end in `_total`, durations in `_seconds`, and each name says what it counts; the help is a sentence."""
    assert re.fullmatch(r"seance(_[a-z]+)+", one.name)
    assert (one.kind == "counter") == one.name.endswith("_total")
    assert one.kind != "histogram" or one.name.endswith("_seconds")
    assert one.name.endswith(UNITS) or one.name.endswith(COUNTED) or one.name.endswith(TRUE_OR_FALSE)
    assert one.help[0].isupper() or one.help[0].isdigit() or one.help.startswith("SELECT")
    assert one.help.endswith(".")
    assert one.processes


def test_names_are_given_once() -> None:
    """No two definitions share a name."""
    names = [one.name for one in DEFINITIONS]
    assert sorted(set(names)) == sorted(names)


def test_the_reasons_of_closes_are_those_of_the_protocol() -> None:
    """The reasons of closes are the names in the table of close codes, and three of ours; refusals are among them."""
    assert set(CLOSE_REASON.values) - {"client", "lost", "violation"} == {ending.name for ending in close_codes.ALL}
    assert set(REFUSAL.values) < set(CLOSE_REASON.values)


def test_the_page_is_current() -> None:
    """docs/metrics.md has the tables that the definitions make; `python -m metrics.page` renews it."""
    text = page.PAGE.read_text()
    assert page.renewed(text) == text
