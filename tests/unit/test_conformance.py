"""The verdict of the conformance lane, and what it does where its Python is missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance import environment
from tests.conformance.verdict import Case, summarize, table

GOOD = Case("OK", "OK", remote_close_code=1000)


@pytest.mark.parametrize(
    ("case", "column"),
    [
        (GOOD, "OK"),
        (Case("OK", "INFORMATIONAL"), "OK"),
        (Case("NON-STRICT", "OK"), "NON-STRICT"),
        (Case("INFORMATIONAL", "INFORMATIONAL"), "INFORMATIONAL"),
        (Case("FAILED", "OK"), "FAILED"),
        (Case("UNIMPLEMENTED", "OK"), "FAILED"),
        (Case("OK", "UNCLEAN"), "FAILED"),
        (Case("OK", "WRONG CODE"), "FAILED"),
        (Case("NON-STRICT", "FAILED BY CLIENT"), "FAILED"),
    ],
    ids=repr,
)
def test_columns(case: Case, column: str) -> None:
    """A case is good when both its behaviour and the way its connection closed are."""
    assert case.column == column
    assert summarize({"1.1": case}, 1).is_good == (column != "FAILED")


def test_summary() -> None:
    """Cases are counted by their first number, in the order of numbers."""
    summary = summarize({"10.1": GOOD, "2.10": GOOD, "2.9": Case("FAILED", "UNCLEAN")}, 3)
    assert {group: (row["OK"], row["FAILED"]) for group, row in summary.groups.items()} == {"2": (1, 1), "10": (1, 0)}
    assert list(summary.failed) == ["2.9"]
    assert "| all   | 3 of 3 ran " in table(summary)
    assert table(summary).endswith("2.9: FAILED, close UNCLEAN, code None")


@pytest.mark.parametrize(("ran", "expected"), [(0, 0), (1, 2)])
def test_cases_that_did_not_run(ran: int, expected: int) -> None:
    """A run that broke off, or that never began, is not good."""
    assert not summarize({f"1.{number}": GOOD for number in range(ran)}, expected).is_good


def test_without_its_python(tmp_path: Path) -> None:
    """Where there is no Python 2.7 the lane says so and succeeds."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.conformance"],
        cwd=environment.ROOT,
        env={**os.environ, "PATH": str(tmp_path), "PYTHON27": str(tmp_path / "python2.7")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("skipped: the Autobahn suite needs Python 2.7")
