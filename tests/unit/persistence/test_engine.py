"""The making of an engine."""

import pytest

from persistence.engine import create_engine
from persistence.errors import InvalidFieldError


@pytest.mark.parametrize("url", ["mysql://db/seance", "postgresql+psycopg2://db/seance", "not a url"])
def test_other_urls_are_refused(url: str) -> None:
    """A URL that is none of Postgres is refused at once, not at the first query."""
    with pytest.raises(InvalidFieldError, match="database_url"):
        create_engine(url, pool_size=1, max_overflow=0, timeout_seconds=1)


async def test_an_engine_connects_only_when_it_is_used() -> None:
    """Making an engine for a server that is away succeeds, with the pool that was asked for."""
    engine = create_engine("postgresql://nobody@127.0.0.1:1/none", pool_size=3, max_overflow=1, timeout_seconds=1)
    assert engine.pool.size() == 3  # type: ignore[attr-defined] # of the queue pool
    await engine.dispose()
