"""Redis: reached, the primary, loses nothing, holds this installation's partitions, has room for a full backlog."""

import asyncio

from broker.errors import BrokerError, BrokerUnavailableError
from broker.redis.installation import server_info
from broker.redis.link import Link, connected
from cluster.checks.finding import Finding
from gateway.settings import Settings

# An entry with a text of 80 characters, as measured (docs/operations.md).
ENTRY_BYTES = 460
_MIB = 1 << 20


async def examine(settings: Settings) -> list[Finding]:
    """Everything about Redis; looking changes nothing."""
    timeout_seconds = settings.redis_timeout_seconds
    try:
        async with connected(settings.redis_url, timeout_seconds=timeout_seconds, name="seance-check") as link:
            return [*await _of_server(link, settings), *await _of_data(link, settings)]
    except BrokerUnavailableError as error:
        remedy = "start the server (`make up` brings its own), or correct REDIS_URL"
        return [Finding("Redis", str(error), remedy)]


async def _of_server(link: Link, settings: Settings) -> list[Finding]:
    try:
        info = await server_info(link, "everything")
    except BrokerUnavailableError:
        raise
    except BrokerError:
        # Everything works without, so this is no problem; it is a safeguard less.
        said = "answers, but INFO is not allowed: not looked at are role, eviction, append-only file and memory"
        return [Finding("Redis", f"{said}; and gateways can't notice that Redis lost data. Allow `+info` for both")]
    version = info.get("valkey_version") or info.get("redis_version")
    return [
        Finding("Redis", f"answers, {info.get('server_name', 'redis')} {version}"),
        role(info.get("role", "unknown")),
        eviction(info.get("maxmemory_policy", "unknown")),
        append_only(is_on=info.get("aof_enabled") == "1", last_write=info.get("aof_last_write_status", "ok")),
        memory(int(info.get("maxmemory", "0")), settings),
    ]


async def _of_data(link: Link, settings: Settings) -> list[Finding]:
    keys = settings.keys
    lengths = (link.call("XLEN", keys.dead(partition)) for partition in range(keys.partitions))
    try:
        stored, *dead = await asyncio.gather(link.call("GET", keys.claim), *lengths)
    except BrokerUnavailableError:
        raise
    except BrokerError:
        return []  # the round trip says what is not allowed
    return [partitions(None if stored is None else int(stored), settings.partitions), dead_letters(sum(dead))]


def role(found: str) -> Finding:
    """Whether it takes writes."""
    subject = "Redis role"
    if found in {"master", "unknown"}:
        return Finding(subject, found)
    return Finding(subject, found, "let REDIS_URL lead to the primary: a replica takes no writes")


def eviction(policy: str) -> Finding:
    """Whether it throws anything away when it is full."""
    subject = "Redis maxmemory-policy"
    if policy == "noeviction":
        return Finding(subject, policy)
    remedy = "set `maxmemory-policy noeviction`: otherwise a full Redis throws events away that Postgres has not seen"
    return Finding(subject, policy, remedy)


def append_only(*, is_on: bool, last_write: str) -> Finding:
    """Whether a restart keeps what was accepted."""
    subject = "Redis appendonly"
    if not is_on:
        return Finding(subject, "no", "set `appendonly yes`: otherwise a restart of Redis loses accepted messages")
    if last_write != "ok":
        return Finding(subject, f"yes, but the last write: {last_write}", "look at Redis's log; its disk may be full")
    return Finding(subject, "yes")


def memory(limit: int, settings: Settings) -> Finding:
    """Whether `limit` bytes (0: none) hold a full backlog, beside which everything else must fit."""
    subject = "Redis maxmemory"
    needed = settings.partitions * settings.max_backlog * ENTRY_BYTES
    what = f"a full backlog needs about {needed // _MIB} MiB"
    if not limit:
        remedy = (
            f"set `maxmemory`, above {needed // _MIB} MiB: without a limit a Redis that grows is ended by the kernel, "
            "or another process is"
        )
        return Finding(subject, f"no limit; {what}", remedy)
    if limit > needed:
        return Finding(subject, f"{limit // _MIB} MiB; {what}")
    remedy = f"raise `maxmemory` above {needed // _MIB} MiB, or lower MAX_BACKLOG below {settings.max_backlog}"
    return Finding(subject, f"{limit // _MIB} MiB, but {what}", remedy)


def partitions(stored: int | None, wanted: int) -> Finding:
    """Whether the data in Redis was made with the number of partitions that is set."""
    if stored is None:
        return Finding("partitions", f"{wanted}; Redis holds no data yet")
    if stored == wanted:
        return Finding("partitions", f"{wanted}, as in Redis")
    return Finding("partitions", f"{wanted}, but Redis holds data made with {stored}", f"set PARTITIONS={stored}")


def dead_letters(count: int) -> Finding:
    """Whether something waits that could not be written."""
    if not count:
        return Finding("dead letters", "none")
    return Finding("dead letters", f"{count}", "`seance dead list` says why; mend that, then `seance dead retry --all`")
