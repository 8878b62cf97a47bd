"""The table of targets, in Markdown, from stored outcomes."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from bench.targets import Outcome, Target

BEGIN: Final = "<!-- made by `python -m bench report`: begin -->"
END: Final = "<!-- made by `python -m bench report`: end -->"
_SIGNS: Final = {"<=": "≤", ">=": "≥", "==": "="}


def target_table(outcomes: Iterable[Outcome]) -> str:
    """One line for each target."""
    lines = ["| scenario | measured | value | target | met |", "|---|---|---|---|---|"]
    for outcome in outcomes:
        lines += [_target_line(outcome.scenario, target) for target in outcome.targets]
    return "\n".join(lines)


def measurement_tables(outcomes: Iterable[Outcome]) -> str:
    """For each scenario every median with the least and the greatest round, by server and by load."""
    parts = []
    for outcome in outcomes:
        rows = list(_summaries(outcome.results, ()))
        if rows:
            title = f"**{outcome.scenario}** ({outcome.results.get('unit', '')})"
            head = f"{title}\n\n| what | median | rounds from, to |\n|---|---|---|\n"
            parts.append(head + "\n".join(rows) + _left_out(outcome.results))
    return "\n\n".join(parts)


def put_between(text: str, table: str) -> str:
    """The text with what stands between the two marks replaced. Raises ValueError without the marks."""
    if BEGIN not in text or END not in text:
        raise ValueError("the page has no place for the table")
    before, rest = text.split(BEGIN, 1)
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{rest.split(END, 1)[1]}"


def update(page: Path, table: str) -> bool:
    """Replace the table in a page that has a place for it; whether it has."""
    if not page.is_file() or BEGIN not in page.read_text(encoding="utf-8"):
        return False
    page.write_text(put_between(page.read_text(encoding="utf-8"), table), encoding="utf-8")
    return True


def number(value: float | None) -> str:
    """A value with about three digits."""
    if value is None:
        return "not measured"
    if value >= 1000:  # noqa: PLR2004 - from here on the digits after the point are noise
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _target_line(scenario: str, target: Target) -> str:
    wanted = f"{_SIGNS[target.op]} {number(target.target)}"
    return f"| {scenario} | {target.name} | {number(target.value)} | {wanted} | {_verdict(target)} |"


def _verdict(target: Target) -> str:
    if target.met:
        return "yes"
    if not target.value or not target.target:
        return "**no**"
    return f"**no**, by {abs(target.value / target.target - 1):.0%}"


def _summaries(found: Any, path: tuple[str, ...]) -> Iterable[str]:
    """The summaries anywhere inside, each with the names that lead to it."""
    if not isinstance(found, dict):
        return
    if found.keys() >= {"median", "low", "high"}:
        name = ", ".join(part.replace("_", " ") for part in path)
        yield f"| {name} | {number(found['median'])} | {number(found['low'])}, {number(found['high'])} |"
        return
    for name, inner in found.items():
        yield from _summaries(inner, (*path, name))


def _left_out(results: dict[str, Any]) -> str:
    lines = [f"Skipped: {name} ({reason})." for name, reason in results.get("skipped", {}).items()]
    lines += [f"Failed, rounds before that count: {name} ({why})." for name, why in results.get("failed", {}).items()]
    return "".join(f"\n\n{line}" for line in lines)
