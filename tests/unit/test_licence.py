"""The licence: its full text lies beside every package, and every package names it."""

import json
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = (ROOT, ROOT / "clients" / "python", ROOT / "clients" / "browser")


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: folder.name)
def test_every_package_brings_the_whole_licence(folder: Path) -> None:
    """Each package can be handed on alone, so each has the text from the title to its appendix."""
    text = (folder / "LICENSE").read_text(encoding="utf-8")
    assert text.split() == (ROOT / "LICENSE").read_text(encoding="utf-8").split()
    assert text.split()[:4] == ["Apache", "License", "Version", "2.0,"]
    assert "9. Accepting Warranty or Additional Liability." in text
    assert "APPENDIX: How to apply the Apache License to your work." in text
    assert "Apache License 2.0: [LICENSE](LICENSE)" in (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("folder", PACKAGES[:2], ids=lambda folder: folder.name)
def test_python_packages_name_the_licence(folder: Path) -> None:
    """The metadata that package indexes show has the SPDX name, and the file goes into the package."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (project["license"], project["license-files"]) == ("Apache-2.0", ["LICENSE"])


def test_the_browser_package_names_the_licence() -> None:
    """The metadata of the browser client has the SPDX name."""
    package = json.loads((ROOT / "clients" / "browser" / "package.json").read_text(encoding="utf-8"))
    assert package["license"] == "Apache-2.0"
