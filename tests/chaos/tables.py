"""Verdicts as tables: for the terminal, for docs/reliability.md and for the README."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from rich.table import Table

from tests.chaos.verdict import Quantiles, Verdict

BEGIN: Final = "<!-- made by `python -m tests.chaos --report`: begin -->"
END: Final = "<!-- made by `python -m tests.chaos --report`: end -->"
_WRONGS: Final = ("lost", "duplicated", "reordered", "phantom", "seats", "flaps", "broken")
_COUNTS: Final = ("faults", "sent", "acknowledged", "delivered", "rows")
_SHOWN: Final = {
    "lost": "lost",
    "duplicated": "duplicated",
    "reordered": "reordered",
    "phantom": "phantom",
    "seats wrong": "seats",
    "flaps": "flaps",
    "other": "broken",
}
_HEADS: Final = (
    "scenario",
    "seed",
    "faults",
    "sent",
    "acked",
    "delivered",
    "rows",
    *_WRONGS,
    "p50 s",
    "p99 s",
    "verdict",
)


def terminal_table(verdicts: Iterable[Verdict]) -> Table:
    """One line for each run."""
    table = Table(box=None, pad_edge=False)
    for head in _HEADS:
        table.add_column(head, justify="left" if head in {"scenario", "verdict"} else "right", no_wrap=True)
    for verdict in verdicts:
        table.add_row(*_cells(verdict), style=None if verdict.is_good else "bold red")
    return table


def _cells(one: Verdict) -> list[str]:
    counts = one.counts
    numbers = (one.seed, counts.faults, counts.sent, counts.acknowledged, counts.delivered, counts.rows)
    wrongs = (getattr(one.wrongs, name) for name in _WRONGS)
    recovery = ("", "") if one.recovery is None else (f"{one.recovery.p50:.2f}", f"{one.recovery.p99:.2f}")
    return [one.scenario, *map(str, (*numbers, *wrongs)), *recovery, "good" if one.is_good else "BAD"]


def scenario_table(verdicts: Sequence[Verdict], summaries: dict[str, str]) -> str:
    """Markdown: one line for each scenario, all seeds together; of the recovery times, the worst seed's."""
    lines = [
        _row("scenario", "what is done", "runs", *_COUNTS, *_SHOWN, "recovery p50, p99"),
        f"|{'---|' * 16}",
    ]
    for name in dict.fromkeys(one.scenario for one in verdicts):
        runs = [one for one in verdicts if one.scenario == name]
        cells = (
            name if all(one.is_good for one in runs) else f"**{name}**",
            summaries.get(name, ""),
            f"{len(runs)}",
            *_sums(runs),
            _recovery([one.recovery for one in runs if one.recovery is not None]),
        )
        lines.append(_row(*cells))
    lines.append(_row("**all**", "", f"{len(verdicts)}", *_sums(verdicts), ""))
    return "\n".join(lines)


def demand_table(verdicts: Sequence[Verdict]) -> str:
    """Markdown: what scenarios demand beyond nothing being wrong, with what was measured for each seed."""
    lines = ["| scenario | measured | demanded | by seed |", "|---|---|---|---|"]
    for name in dict.fromkeys(one.scenario for one in verdicts):
        runs = [one for one in verdicts if one.scenario == name]
        for demand, (least, most) in runs[0].demands.items():
            values = ", ".join(f"{one.measures.get(demand, float('nan')):g}" for one in runs)
            lines.append(f"| {name} | {demand.replace('_', ' ')} | {_bounds(least, most)} | {values} |")
    return "\n".join(lines)


def short_table(verdicts: Sequence[Verdict]) -> str:
    """Markdown: everything in one line."""
    seeds = len({one.seed for one in verdicts})
    scenarios = len({one.scenario for one in verdicts})
    return "\n".join(
        [
            _row("scenarios", "seeds", *_COUNTS, *_SHOWN),
            f"|{'---|' * 14}",
            _row(f"{scenarios}", f"{seeds}", *_sums(verdicts)),
        ]
    )


def put_between(page: Path, text: str, begin: str = BEGIN, end: str = END) -> bool:
    """Replace what stands between the marks of a page; whether it has them."""
    before, has_begin, rest = page.read_text(encoding="utf-8").partition(begin)
    _, has_end, after = rest.partition(end)
    if not (has_begin and has_end):
        return False
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")
    return True


def _sums(runs: Sequence[Verdict]) -> list[str]:
    return [
        *(f"{sum(getattr(one.counts, name) for one in runs):,}" for name in _COUNTS),
        *(str(sum(getattr(one.wrongs, name) for one in runs)) for name in _SHOWN.values()),
    ]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _recovery(found: Sequence[Quantiles]) -> str:
    if not found:
        return ""
    return f"{max(one.p50 for one in found) * 1000:,.0f} ms, {max(one.p99 for one in found) * 1000:,.0f} ms"


def _bounds(least: float, most: float) -> str:
    if least == most:
        return f"= {least:g}"
    return f"≤ {most:g}" if not least else f"≥ {least:g}"
