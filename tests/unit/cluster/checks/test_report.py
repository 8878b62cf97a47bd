"""What `seance check` says about values and findings."""

import msgspec
import pytest

from cluster.checks import report
from cluster.commands.context import settings_in_force
from gateway.configuration import load
from gateway.settings import Settings


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:secret@host:1/0", "redis://:***@host:1/0"),
        ("postgresql://user:p%40ss@host/db", "postgresql://user:***@host/db"),
        ("postgresql://user@host/db", "postgresql://user@host/db"),
        ("redis://host:1/0", "redis://host:1/0"),
        ("plain", "plain"),
        ("a@b", "a@b"),
    ],
)
def test_the_password_in_a_url_is_masked(url: str, shown: str) -> None:
    """A URL is shown without its password, and other text unchanged."""
    assert shown == report.masked(url)


def test_every_setting_is_shown_with_its_value_and_origin() -> None:
    """Each variable has a row with its value and origin, and the secret is masked."""
    settings, sources = load({"JWT_SECRET": "x" * 40, "PORT": "8100"})
    rows = report.values(settings, {source.variable: source.origin for source in sources})
    assert ("PORT", "8100", "environment") in rows
    assert ("JWT_SECRET", "(secret)", "environment") in rows
    assert ("PARTITIONS", "16", "default") in rows
    assert [name for name, *_ in rows] == [field.name.upper() for field in msgspec.structs.fields(Settings)]


def test_the_settings_in_force_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands read the settings from the environment."""
    monkeypatch.setenv("PARTITIONS", "3")
    assert settings_in_force()[0].partitions == 3
