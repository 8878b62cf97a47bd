"""Fixtures of the tests of the `seance` command."""

from pathlib import Path

import pytest

from tests.seance_command import Seance


@pytest.fixture
def seance(tmp_path: Path, redis_url: str, database_url: str) -> Seance:
    """The command, with an empty Redis and a migrated, empty database."""
    return Seance(tmp_path, redis_url, database_url)
