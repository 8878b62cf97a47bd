"""The pages for people: links lead somewhere, and none is left out."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted(path for path in (ROOT / "clients").glob("*/README.md")),
]
INDEX = ROOT / "docs" / "README.md"


def prose(page: Path) -> str:
    """The page without its blocks of code."""
    return re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def targets(page: Path) -> list[str]:
    """Everything of ours that the page links to or shows."""
    found = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    return [target for target in found if not re.match(r"[a-z]+:", target)]


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives the page's headings."""
    headings = re.findall(r"^#+ +(.*)$", prose(page), flags=re.MULTILINE)
    words = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", text).strip().replace(" ", "-") for text in words}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links(page: Path) -> None:
    """Every relative link of a page leads to a file that exists, and to a heading where it names one."""
    for target in targets(page):
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        assert found.is_relative_to(ROOT), target
        assert not anchor or anchor in anchors(found), target


def test_index_is_complete() -> None:
    """The index leads to every page in docs/."""
    linked = {(INDEX.parent / target.partition("#")[0]).resolve() for target in targets(INDEX)}
    assert set((ROOT / "docs").rglob("*.md")) - {INDEX} <= linked


def test_decisions_are_numbered_without_holes() -> None:
    """The decisions are numbered 1, 2, 3 and so on, and each heading has the number of its file."""
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    numbers = [int(page.name[:4]) for page in pages]
    assert numbers == list(range(1, len(numbers) + 1))
    for number, page in zip(numbers, pages, strict=True):
        heading = page.read_text(encoding="utf-8").partition("\n")[0]
        assert re.match(rf"# {number}\. \S", heading), page.name


def test_pictures_are_small() -> None:
    """No picture weighs more than 250 kB."""
    for picture in (ROOT / "docs").rglob("*"):
        if picture.suffix in {".png", ".svg"}:
            assert picture.stat().st_size < 250_000, picture.name


def test_the_map_of_the_code_is_true() -> None:
    """Every path that docs/architecture.md names is there, so that a newcomer finds the place for a change."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    folders = "|".join(path.name for path in ROOT.iterdir() if path.is_dir())
    named = re.findall(rf"`((?:{folders})/[\w./-]*)`", text)
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_code_names_decisions_that_exist() -> None:
    """A decision that a comment in the code names has a page with that number and name."""
    rooms = ("bench", "broker", "cluster", "gateway", "metrics", "persistence")
    named = {
        number
        for room in rooms
        for path in (ROOT / room).rglob("*.py")
        for number in re.findall(r"docs/decisions/(\d{4}(?:-[\w-]+)?)", path.read_text(encoding="utf-8"))
    }
    assert named
    pages = [page.stem for page in (ROOT / "docs" / "decisions").glob("*.md")]
    assert {name for name in named if not any(page.startswith(name) for page in pages)} == set()
