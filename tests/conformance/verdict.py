"""What the Autobahn suite found, counted by group of cases, and whether it is good enough."""

from collections import Counter
from collections.abc import Mapping

import msgspec

# The suite's words for a case and for how its connection was closed; whatever is in neither row is a failure.
COLUMNS = ("OK", "NON-STRICT", "INFORMATIONAL", "FAILED")
GOOD_CLOSES = ("OK", "INFORMATIONAL")
GROUPS = {
    "1": "framing",
    "2": "pings and pongs",
    "3": "reserved bits",
    "4": "opcodes",
    "5": "fragmentation",
    "6": "UTF-8",
    "7": "closing",
    "9": "limits and throughput",
    "10": "automatic fragmentation",
}


class Case(msgspec.Struct, frozen=True, rename="camel"):
    """One case in the suite's index."""

    behavior: str
    behavior_close: str
    duration: int = 0  # milliseconds
    remote_close_code: int | None = None

    @property
    def column(self) -> str:
        """Where the table counts it."""
        is_good = self.behavior in COLUMNS and self.behavior_close in GOOD_CLOSES
        return self.behavior if is_good else "FAILED"


class Summary(msgspec.Struct, frozen=True):
    """The verdict: per group how many cases stand in each column, and what was not good."""

    cases: int
    expected: int
    groups: dict[str, dict[str, int]]
    failed: dict[str, Case]

    @property
    def is_good(self) -> bool:
        """Every case ran, and none failed."""
        return not self.failed and self.cases == self.expected > 0


def summarize(index: Mapping[str, Case], expected: int) -> Summary:
    """The verdict over the cases of one server, by case id; `expected` is how many were to run."""
    ordered = sorted(index, key=lambda case: [int(part) for part in case.split(".")])
    counts: dict[str, Counter[str]] = {}
    for case in ordered:
        counts.setdefault(case.partition(".")[0], Counter())[index[case].column] += 1
    return Summary(
        cases=len(ordered),
        expected=expected,
        groups={group: {column: count[column] for column in COLUMNS} for group, count in counts.items()},
        failed={case: index[case] for case in ordered if index[case].column == "FAILED"},
    )


def table(summary: Summary) -> str:
    """The summary as the table that is printed, in Markdown, so that the docs can hold it as it is."""
    rows: list[tuple[str, ...]] = [("cases", "about", *COLUMNS)]
    rows += [(f"{group}.*", GROUPS.get(group, ""), *map(str, row.values())) for group, row in summary.groups.items()]
    totals = (str(sum(row[column] for row in summary.groups.values())) for column in COLUMNS)
    rows.append(("all", f"{summary.cases} of {summary.expected} ran", *totals))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_line([cell.ljust(width) for cell, width in zip(row, widths, strict=True)]) for row in rows]
    lines.insert(1, _line(["-" * width for width in widths]))
    lines += [
        f"{case}: {found.behavior}, close {found.behavior_close}, code {found.remote_close_code}"
        for case, found in summary.failed.items()
    ]
    return "\n".join(lines)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
