"""Whether Redis and Postgres belong to one installation."""

from broker.errors import BrokerError
from broker.redis.installation import bound_to
from broker.redis.link import connected
from cluster import database
from cluster.checks.finding import Finding
from gateway.settings import Settings
from persistence.errors import PersistenceError
from persistence.installation import REMEDY, Stored, mismatch, read


async def examine(settings: Settings) -> list[Finding]:
    """The finding, or none when a server does not answer, which other checks report; looking changes nothing."""
    try:
        engine = database.engine(settings)
        try:
            stored = await read(engine)
        finally:
            await engine.dispose()
        timeout_seconds = settings.redis_timeout_seconds
        async with connected(settings.redis_url, timeout_seconds=timeout_seconds, name="seance-check") as link:
            bound = await bound_to(link, settings.keys)
    except (BrokerError, PersistenceError):
        return []
    return [bond(stored, bound, settings.keys.prefix)]


def bond(stored: Stored, bound: str | None, prefix: str) -> Finding:
    """Whether the Redis that belongs to the installation `bound` is that of the database."""
    if bound is None:
        return Finding("installation", f"{stored.id}; Redis belongs to none yet, the first gateway or worker binds it")
    problem = mismatch(stored, bound, prefix)
    if problem is not None:
        return Finding("installation", problem, REMEDY)
    return Finding("installation", f"{stored.id}, of Redis and the database")
