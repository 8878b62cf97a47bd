"""`.env.example`."""

import re
from pathlib import Path

import msgspec

from cluster import example
from cluster.state.home import checkout
from gateway.configuration import load
from gateway.settings import Settings


def test_the_example_file_is_in_step_with_the_settings() -> None:
    """The file equals the text made from the settings; `python -m cluster.example > .env.example` renews the file."""
    assert example.text() == (checkout() / ".env.example").read_text()


def test_the_values_of_the_example_file_are_the_defaults(tmp_path: Path) -> None:
    """With every line of the file in force, the settings equal the defaults."""
    env_file = tmp_path / ".env"
    env_file.write_text(re.sub(r"^#([A-Z_]+=)", r"\1", example.text(), flags=re.MULTILINE))
    settings, sources = load({}, env_file)
    assert Settings() == settings
    assert {source.variable for source in sources if source.origin != ".env"} == {
        field.name.upper() for field in msgspec.structs.fields(Settings) if field.default == ""
    }
