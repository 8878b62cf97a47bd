"""The forms of a database URL."""

import pytest

from persistence.engine import create_engine, driver_url
from persistence.errors import InvalidFieldError


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
def test_every_usual_scheme_is_understood(scheme: str) -> None:
    """Whichever way the URL begins, asyncpg gets it, password and all."""
    url = driver_url(f"{scheme}://ana:p%40ss@db:5433/seance")
    assert url.render_as_string(hide_password=False) == "postgresql+asyncpg://ana:p%40ss@db:5433/seance"


def test_sslmode_becomes_what_asyncpg_calls_it() -> None:
    """A URL made for libpq keeps its meaning."""
    assert dict(driver_url("postgresql://db/seance?sslmode=require").query) == {"ssl": "require"}


@pytest.mark.parametrize("url", ["mysql://db/seance", "postgresql+psycopg2://db/seance", "not a url"])
def test_other_urls_are_refused(url: str) -> None:
    """A URL that is none of Postgres is refused at once, not at the first query."""
    with pytest.raises(InvalidFieldError, match="database_url"):
        driver_url(url)


async def test_an_engine_connects_only_when_it_is_used() -> None:
    """Making an engine for a server that is away succeeds, with the pool that was asked for."""
    engine = create_engine("postgresql://nobody@127.0.0.1:1/none", pool_size=3, max_overflow=1, timeout_seconds=1)
    assert engine.pool.size() == 3  # type: ignore[attr-defined] # of the queue pool
    await engine.dispose()
