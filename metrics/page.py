"""The tables in docs/metrics.md, generated from the definitions: `python -m metrics.page` writes them again."""

import re
from pathlib import Path

from metrics.definitions import Definition, Process, of

PAGE = Path(__file__).parent.parent / "docs" / "metrics.md"
_MADE = "<!-- made by `python -m metrics.page`: {process} {edge} -->"


def table(process: Process) -> str:
    """The metrics of a kind of process, as Markdown."""
    rows = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    rows += [
        f"| `{one.name}` | {one.kind} | {_labels(one)} | {one.help} |" for one in of(process) if one.kind != "info"
    ]
    return "\n".join(rows)


def renewed(text: str) -> str:
    """The page's text with new tables between the markers."""
    for process in ("gateway", "worker"):
        begin, end = (_MADE.format(process=process, edge=edge) for edge in ("begin", "end"))
        between = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        whole = f"{begin}\n\n{table(process)}\n\n{end}"
        text, count = between.subn(lambda _, whole=whole: whole, text)  # type: ignore[misc] # mypy can't tell its type
        assert count == 1, f"the page has no place for the {process}"
    return text


def _labels(definition: Definition) -> str:
    if definition.label is None:
        return ""
    return f"`{definition.label.name}`: " + ", ".join(f"`{value}`" for value in definition.label.values)


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text()))
