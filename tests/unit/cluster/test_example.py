"""`.env.example`."""

import re
from pathlib import Path

from cluster import example
from cluster.state.home import checkout
from gateway.settings import Settings, load


def test_is_in_step_with_the_settings() -> None:
    """The file is what the settings make of it; `python -m cluster.example > .env.example` renews it."""
    assert example.text() == (checkout() / ".env.example").read_text()


def test_its_values_are_the_defaults(tmp_path: Path) -> None:
    """With every line taken in, the settings are what they are without it."""
    env_file = tmp_path / ".env"
    env_file.write_text(re.sub(r"^#([A-Z_]+=)", r"\1", example.text(), flags=re.MULTILINE))
    settings, sources = load({}, env_file)
    assert Settings() == settings
    assert {".env"} == {source.origin for source in sources}
