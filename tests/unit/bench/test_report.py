from pathlib import Path

import pytest

from bench import report
from bench.regression import compare
from bench.targets import Outcome, evaluate

OUTCOME = Outcome(
    "fan-out",
    {
        "unit": "CPU µs per delivery",
        "paced": {"seance": {"median": 7.5, "low": 7.25, "high": 8.0, "rounds": 5}},
        "skipped": {"centrifugo": "go is not installed"},
    },
    [evaluate("cost ÷ floor", 1.2, "<=", 1.25), evaluate("joins", 1200, ">=", 1500), evaluate("late", None, "<=", 1)],
)


def test_every_target_is_a_line() -> None:
    """A missed target says by how much, and one without a value that it was not measured."""
    assert report.target_table([OUTCOME]).splitlines()[2:] == [
        "| fan-out | cost ÷ floor | 1.2 | ≤ 1.25 | yes |",
        "| fan-out | joins | 1,200 | ≥ 1,500 | **no**, by 20% |",
        "| fan-out | late | not measured | ≤ 1 | **no** |",
    ]


def test_the_summary_has_three_lines() -> None:
    """The summary counts the targets that are met, says by how much the others are missed, and why."""
    missed = Outcome("worker", {}, [evaluate("rows", 500, ">=", 1000)])
    assert report.summary([OUTCOME, missed]).splitlines() == [
        (
            "- **Met:** 1 of 4 targets (fan-out 1 of 3, worker 0 of 1)."
            " The narrowest: fan-out, cost ÷ floor, 1.2 for ≤ 1.25."
        ),
        "- **Missed:** fan-out, 2 targets, by 20% to 20%; worker, rows: 500 instead of ≥ 1,000 (by 50%).",
        (
            "- **Why:** fan-out: not explained yet; worker: the worker shares two cores with Postgres and Redis, while"
            " bare COPY writes rows that are already in memory."
        ),
    ]
    met = Outcome("joins", {}, [evaluate("share", 1, "==", 1)])
    assert report.summary([met]) == "- **Met:** 1 of 1 targets (joins 1 of 1)."


def test_every_summary_is_a_line() -> None:
    """Medians stand with their spread, and skipped peers with the reason."""
    found = report.measurement_tables([OUTCOME])
    assert "| paced, seance | 7.5 | 7.25, 8 |" in found
    assert "Skipped: centrifugo (go is not installed)." in found


def test_the_table_takes_the_old_one_s_place(tmp_path: Path) -> None:
    """What stands around the marks is kept; a page without them is left alone."""
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    assert report.update(page, "new")
    assert page.read_text() == f"before\n{report.BEGIN}\n\nnew\n\n{report.END}\nafter\n"
    page.write_text("nothing here")
    assert not report.update(page, "new")
    with pytest.raises(ValueError, match="no place"):
        report.put_between("nothing here", "new")


def test_a_ratio_that_grew_too_much_is_worse() -> None:
    """Only ratios that both runs have are compared, and the tolerance is left to noise."""
    found = {
        each.name: each.is_worse for each in compare({"a": 0.5, "b": 0.8, "c": 1}, {"a": 0.45, "b": 0.5, "d": 1}, 0.2)
    }
    assert found == {"a": False, "b": True}
