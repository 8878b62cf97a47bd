"""The tables of the chaos suite, and its command line as far as nothing is started."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.chaos import tables
from tests.chaos.cli import main
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.verdict import Counts, Quantiles, Verdict, Wrongs


def verdict(seed: int, lost: int = 0, p99: float = 0.2) -> Verdict:
    return Verdict(
        scenario="jitter",
        seed=seed,
        is_short=True,
        counts=Counts(clients=3, faults=1, sent=1000, acknowledged=1000, delivered=3000, rows=1000, reconnects=4),
        wrongs=Wrongs(lost=lost),
        faults=["1.0 s: kill -9 gw-1"],
        measures={"delivered_share": 1.0},
        demands={"delivered_share": (1.0, 1.0)},
        problems=[],
        recovery=Quantiles(p50=0.1, p99=p99, most=0.3),
    )


def test_scenarios_are_summed_over_seeds() -> None:
    """Counts are sums, recovery times those of the worst seed, and a scenario that failed stands out."""
    made = tables.scenario_table([verdict(1), verdict(2, lost=3, p99=0.5)], {"jitter": "bad networks"})
    line = "bad networks | 2 | 2 | 2,000 | 2,000 | 6,000 | 2,000 | 3 | 0 | 0 | 0 | 0 | 0 | 0 | 100 ms, 500 ms |"
    assert f"| **jitter** | {line}" in made
    assert "| **all** |  | 2 | 2 | 2,000 |" in made


def test_demands_are_shown_by_seed() -> None:
    """What a scenario demands stands beside what each seed gave."""
    assert "| jitter | delivered share | = 1 | 1, 1 |" in tables.demand_table([verdict(1), verdict(2)])


def test_the_readme_gets_one_line_for_all_scenarios() -> None:
    """The README gets one line for all scenarios and seeds."""
    assert "| 1 | 2 | 2 | 2,000 | 2,000 | 6,000 | 2,000 | 0 | 0 |" in tables.short_table([verdict(1), verdict(2)])


def test_tables_go_between_the_marks(tmp_path: Path) -> None:
    """Only what stands between the marks is replaced; a page without marks stays as it is."""
    page = tmp_path / "page.md"
    page.write_text(f"before\n{tables.BEGIN}\nold\n{tables.END}\nafter\n")
    assert tables.put_between(page, "new")
    assert page.read_text() == f"before\n{tables.BEGIN}\n\nnew\n\n{tables.END}\nafter\n"
    page.write_text("nothing here\n")
    assert not tables.put_between(page, "new")
    assert page.read_text() == "nothing here\n"


def test_the_pages_have_a_place_for_the_tables() -> None:
    """The report finds its marks in docs/reliability.md and in the README."""
    root = Path(__file__).parents[3]
    for page in (root / "docs" / "reliability.md", root / "README.md"):
        text = page.read_text(encoding="utf-8")
        assert text.index(tables.BEGIN) < text.index(tables.END)


def test_list_names_every_scenario_and_starts_nothing() -> None:
    """`--list` says what there is, and starts nothing."""
    said = CliRunner().invoke(main, ["--list"])
    assert said.exit_code == 0
    assert [line.split()[0] for line in said.output.splitlines()] == list(SCENARIOS)


@pytest.mark.parametrize("arguments", [["--scenario", "unheard-of"], ["--seeds", "one,two"]])
def test_an_unknown_scenario_and_a_wrong_seed_are_refused(arguments: list[str]) -> None:
    """A scenario that does not exist and a seed that is no number are refused before anything starts."""
    assert CliRunner().invoke(main, arguments).exit_code == 2
