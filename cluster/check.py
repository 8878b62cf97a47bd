"""What `seance check` looks at: Redis, Postgres, and that they are set up as the gateways need them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
from redis.asyncio import Redis

from broker import keys
from broker.client import connect, mapped
from broker.errors import BrokerError
from cluster import migrate
from gateway.settings import SECRETS, Settings
from persistence.errors import PersistenceError


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at; `remedy` is None when it is as it should be."""

    subject: str
    text: str
    remedy: str | None = None

    @property
    def is_good(self) -> bool:
        """Whether nothing needs mending."""
        return self.remedy is None


async def examine(settings: Settings) -> list[Finding]:
    """Everything that was found, good and bad; looking changes nothing."""
    redis, postgres = await asyncio.gather(_examine_redis(settings), _examine_postgres(settings))
    return [*redis, *postgres]


async def _examine_redis(settings: Settings) -> list[Finding]:
    client = connect(settings.redis_url, timeout_seconds=settings.redis_timeout_seconds, name="seance-check")
    try:
        with mapped():
            return [finding async for finding in _look_into_redis(client, settings)]
    except BrokerError as error:
        remedy = "start the server (`make up` brings its own), or correct REDIS_URL"
        return [Finding("Redis", str(error), remedy)]
    finally:
        await client.aclose()


async def _look_into_redis(client: Redis, settings: Settings) -> AsyncIterator[Finding]:
    info: dict[str, Any] = await client.info("everything")
    version = info.get("valkey_version") or info.get("redis_version")
    yield Finding("Redis", f"answers, {info.get('server_name', 'redis')} {version}")
    yield _eviction(str(info.get("maxmemory_policy", "unknown")))
    yield _append_only(is_on=bool(info.get("aof_enabled")))
    stored = await client.get(keys.PARTITIONS)
    yield partitions(None if stored is None else int(stored), settings.partitions)


def _eviction(policy: str) -> Finding:
    subject = "Redis maxmemory-policy"
    if policy == "noeviction":
        return Finding(subject, policy)
    remedy = "set `maxmemory-policy noeviction`: otherwise a full Redis throws events away that Postgres has not seen"
    return Finding(subject, policy, remedy)


def _append_only(*, is_on: bool) -> Finding:
    subject = "Redis appendonly"
    if is_on:
        return Finding(subject, "yes")
    return Finding(subject, "no", "set `appendonly yes`: otherwise a restart of Redis loses accepted messages")


def partitions(stored: int | None, wanted: int) -> Finding:
    """Whether the data in Redis was made with the number of partitions that is set."""
    if stored is None:
        return Finding("partitions", f"{wanted}; Redis holds no data yet")
    if stored == wanted:
        return Finding("partitions", f"{wanted}, as in Redis")
    return Finding("partitions", f"{wanted}, but Redis holds data made with {stored}", f"set PARTITIONS={stored}")


async def _examine_postgres(settings: Settings) -> list[Finding]:
    try:
        revision = await migrate.read_revision(settings.database_url)
    except PersistenceError as error:
        remedy = "start the server (`make up` brings its own), or correct DATABASE_URL"
        return [Finding("Postgres", str(error), remedy)]
    return [Finding("Postgres", "answers"), migrations(revision, migrate.head())]


def migrations(revision: str | None, head: str | None) -> Finding:
    """Whether the database is at the newest revision."""
    if revision == head:
        return Finding("migrations", f"at the newest revision, {head}")
    return Finding("migrations", f"at {revision or 'none'}, the newest is {head}", "run `seance migrate`")


def values(settings: Settings, origins: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Variable, value in force and origin of every setting; secrets and passwords are masked."""
    rows = []
    for name, value in msgspec.structs.asdict(settings).items():
        shown = "(secret)" if name in SECRETS else masked(str(value))
        rows.append((name.upper(), shown, origins[name.upper()]))
    return rows


def masked(url: str) -> str:
    """A URL without its password; other text stays."""
    scheme, separator, rest = url.partition("://")
    credentials, at, host = rest.rpartition("@")
    user, colon, _ = credentials.partition(":")
    return f"{scheme}{separator}{user}{':***' if colon else ''}{at}{host}" if separator and at else url
