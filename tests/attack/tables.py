"""Results as tables: for the terminal and for docs/security.md."""

from collections.abc import Iterable, Mapping
from typing import Final

from rich.table import Table

from tests.attack.record import Figures
from tests.attack.result import MIB, Bar, Result

BEGIN: Final = "<!-- made by `make attack`: begin -->"
END: Final = "<!-- made by `make attack`: end -->"
_HEADS: Final = (
    "attack",
    "sockets",
    "before p50/p99 ms",
    "during p50/p99/max ms",
    "after p50/p99 ms",
    "ack p99 ms",
    "`unavailable`",
    "closes",
    "lost leases",
    "newcomers in/away, max ms",
    "gateway MiB before/during/after",
    "loop lag ms",
    "holds",
)


def terminal_table(results: Iterable[Result], bar: Bar) -> Table:
    """One line for each attack."""
    table = Table(box=None, pad_edge=False)
    for head in _HEADS:
        table.add_column(head.replace("`", ""), justify="left" if head == "attack" else "right")
    for result in results:
        table.add_row(*_cells(result, bar), style="bold red" if result.misses(bar) else None)
    return table


def page_table(results: Iterable[Result], bar: Bar) -> str:
    """Markdown: one line for each attack."""
    heads = (*_HEADS, "the attacker")
    rows = (_row(*_cells(result, bar), told(result.tally)) for result in results)
    return "\n".join([_row(*heads), _row(*("---" for _ in heads)), *rows])


def told(tally: Mapping[str, int]) -> str:
    """What the attacker did and was told, in words."""
    shown = {**tally, "MiB": round(tally.get("bytes", 0) / MIB)}
    shown.pop("bytes", None)
    return ", ".join(f"{count:,} {what}" for what, count in sorted(shown.items()) if count)


def _cells(one: Result, bar: Bar) -> list[str]:
    memory, misses = one.memory, one.misses(bar)
    return [
        one.attack,
        str(one.sockets),
        _times(one.before),
        f"{_times(one.during)}/{one.during.most:,.0f}",
        _times(one.after),
        f"{one.during.ack_p99:,.0f}",
        str(one.troubles.errors.get("unavailable", 0)),
        _counts(one.troubles.closes),
        str(one.lost_leases),
        f"{one.newcomers.joined}/{sum(one.troubles.turned_away.values())}, {one.newcomers.most:,.0f}",
        "/".join(f"{value / MIB:,.0f}" for value in (memory.before, memory.during, memory.after)),
        f"{1000 * one.loop_lag:,.0f}",
        "✗" if misses else "✓",
    ]


def _times(found: Figures) -> str:
    return f"{found.p50:,.1f}/{found.p99:,.1f}"


def _counts(found: Mapping[str, int]) -> str:
    return ", ".join(f"{count} of {code}" for code, count in found.items()) or "0"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
