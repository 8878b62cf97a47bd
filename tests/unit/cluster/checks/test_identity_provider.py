"""`seance check`: the mode of authentication, and the identity provider's keys."""

from pathlib import Path

import pytest

from cluster.checks.identity_provider import examine
from gateway.settings import Settings
from tests.identity_provider import SigningKey, key_set


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Settings(), "open: everybody may create sessions"),
        (Settings(environment="production"), "token: nobody is served without a token"),
        (Settings(environment="production", auth_mode="open"), "production wants `token`"),
    ],
)
async def test_the_mode_is_told(settings: Settings, words: str) -> None:
    """No mode is wrong, and the words say what it means."""
    [finding] = await examine(settings)
    assert finding.is_good
    assert words in finding.text


async def test_keys_are_counted(tmp_path: Path) -> None:
    """The keys are fetched, and counted with their algorithms."""
    file = tmp_path / "keys.json"
    file.write_bytes(key_set(SigningKey("ES256", "a"), SigningKey("EdDSA", "b")))
    [_, finding] = await examine(Settings(jwks_file=str(file)))
    assert finding.is_good
    assert finding.text == f"2 keys for ES256 EdDSA at {file}"


async def test_keys_that_can_not_be_had_are_a_problem(tmp_path: Path) -> None:
    """A server that is not there, and a file that holds no keys, come with what to do."""
    file = tmp_path / "keys.json"
    file.write_text("{}")
    for settings in (Settings(jwks_url="http://127.0.0.1:1/keys"), Settings(jwks_file=str(file))):
        [_, finding] = await examine(settings)
        assert not finding.is_good
        assert finding.remedy is not None
        assert "JWK Set" in finding.remedy
