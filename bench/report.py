"""The tables and the summary of the targets, in Markdown, from stored outcomes."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from bench.targets import Outcome, Target

BEGIN: Final = "<!-- made by `python -m bench report`: begin -->"
END: Final = "<!-- made by `python -m bench report`: end -->"
# Why a scenario misses a target, in short; docs/performance.md has the details.
_REASONS: Final = {
    "small-rooms": "more than half of the CPU time of a small room is the kernel's, and Séance also numbers, logs,"
    " queues for Postgres and acknowledges each message",
    "worker": "the worker shares two cores with Postgres and Redis, while bare COPY writes rows that are"
    " already in memory",
    "scaling": "each further gateway adds a write of Redis, a wake-up and a read to each event",
}
_SIGNS: Final = {"<=": "≤", ">=": "≥", "==": "="}


def target_table(outcomes: Iterable[Outcome]) -> str:
    """One line for each target."""
    lines = ["| scenario | measured | value | target | met |", "|---|---|---|---|---|"]
    for outcome in outcomes:
        lines += [_target_line(outcome.scenario, target) for target in outcome.targets]
    return "\n".join(lines)


def summary(outcomes: Sequence[Outcome]) -> str:
    """Three lines: how many targets are met, which are missed and by how much, and why."""
    met = [(outcome, target) for outcome in outcomes for target in outcome.targets if target.met]
    missed = [outcome for outcome in outcomes if not all(target.met for target in outcome.targets)]
    total = sum(len(outcome.targets) for outcome in outcomes)
    counts = ", ".join(
        f"{outcome.scenario} {sum(target.met for target in outcome.targets)} of {len(outcome.targets)}"
        for outcome in outcomes
    )
    lines = [f"- **Met:** {len(met)} of {total} targets ({counts}).{_narrowest(met)}"]
    if missed:
        lines.append(f"- **Missed:** {'; '.join(map(_misses, missed))}.")
        lines.append(f"- **Why:** {'; '.join(map(_reason, missed))}.")
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
    """The text with `table` between the two marks. Raises ValueError without the marks."""
    if BEGIN not in text or END not in text:
        raise ValueError("the page has no place for the table")
    before, rest = text.split(BEGIN, 1)
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{rest.split(END, 1)[1]}"


def update(page: Path, table: str) -> bool:
    """Replace the text between the marks of a page; returns whether the page has the marks."""
    if not page.is_file() or BEGIN not in page.read_text(encoding="utf-8"):
        return False
    page.write_text(put_between(page.read_text(encoding="utf-8"), table), encoding="utf-8")
    return True


def number(value: float | None) -> str:
    """A value with about three digits."""
    if value is None:
        return "not measured"
    if value >= 1000:  # noqa: PLR2004 - above this the digits after the point are noise
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _target_line(scenario: str, target: Target) -> str:
    wanted = f"{_SIGNS[target.op]} {number(target.target)}"
    return f"| {scenario} | {target.name} | {number(target.value)} | {wanted} | {_verdict(target)} |"


def _verdict(target: Target) -> str:
    if target.met:
        return "yes"
    distance = _distance(target)
    return "**no**" if distance is None else f"**no**, by {distance:.0%}"


def _distance(target: Target) -> float | None:
    """How far the value is from the target, as a share of the target; None without a value to compare."""
    if not target.value or not target.target:
        return None
    return abs(target.value / target.target - 1)


def _misses(outcome: Outcome) -> str:
    missed = [target for target in outcome.targets if not target.met]
    distances = sorted(distance for target in missed if (distance := _distance(target)) is not None)
    if len(missed) == 1:
        [target] = missed
        wanted = f"{number(target.value)} instead of {_SIGNS[target.op]} {number(target.target)}"
        return f"{outcome.scenario}, {target.name}: {wanted}" + "".join(f" (by {each:.0%})" for each in distances)
    text = f"{outcome.scenario}, {len(missed)} targets"
    return f"{text}, by {distances[0]:.0%} to {distances[-1]:.0%}" if distances else text


def _reason(outcome: Outcome) -> str:
    return f"{outcome.scenario}: {_REASONS.get(outcome.scenario, 'not explained yet')}"


def _narrowest(met: Iterable[tuple[Outcome, Target]]) -> str:
    """The target that is met by the smallest distance; a value that is the target itself has no distance."""
    found = [(distance, *each) for each in met if (distance := _distance(each[1]))]
    if not found:
        return ""
    _, outcome, target = min(found, key=lambda each: each[0])
    wanted = f"{number(target.value)} for {_SIGNS[target.op]} {number(target.target)}"
    return f" The narrowest: {outcome.scenario}, {target.name}, {wanted}."


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
