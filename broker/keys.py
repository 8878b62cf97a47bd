"""Every Redis key and channel name. A session's keys carry the hash tag of its partition: a script touches one slot."""

from zlib import crc32

# Keys of the whole installation, each used alone, so they need no tag.
PARTITIONS = "seance:partitions"
WORKERS = "seance:workers"  # zset: worker id → lease expiry in ms since the epoch
FENCED = "seance:fenced"  # run_id of the Redis process whose sessions were compared with Postgres
FENCING = "seance:fencing"  # the gateway that compares them now; expires

# The consumer group that drains the partition streams into Postgres.
GROUP = "persistence"


def partition_of(session_id: str, partitions: int) -> int:
    """The partition that a session lives in: crc32 of its id, modulo the number of partitions."""
    return crc32(session_id.encode()) % partitions


def prefix(partition: int) -> str:
    """The start of every key of a partition."""
    return f"seance:{{{partition}}}:"


def session(partition: int, session_id: str) -> str:
    """The session's hash; the same name is its pub/sub channel. Its other keys add a suffix (`:log`, `:users`, …)."""
    return f"{prefix(partition)}session:{session_id}"


def refused(partition: int, session_id: str, seq: int) -> str:
    """Mark of a message that Postgres refused for good; it expires."""
    return f"{session(partition, session_id)}:refused:{seq}"


def log(partition: int, session_id: str) -> str:
    """The stream of a session's recent sequenced events, entry id `<seq>-0`."""
    return session(partition, session_id) + ":log"


def events(partition: int) -> str:
    """The stream that a worker drains."""
    return prefix(partition) + "events"


def dead(partition: int) -> str:
    """The stream of entries that could not be written, with the reason."""
    return prefix(partition) + "dead"


def owner(partition: int) -> str:
    """The id of the worker that drains this partition now; expires with its lease."""
    return prefix(partition) + "owner"


def gateways(partition: int) -> str:
    """The zset of gateway id → lease expiry in ms since the epoch."""
    return prefix(partition) + "gateways"


def canary(lease: str) -> str:
    """The key, and the channel, by which one gateway process finds out whether published events arrive."""
    return f"seance:canary:{lease}"


def idempotency(digest: str) -> str:
    """The remembered answer to one Idempotency-Key."""
    return f"seance:idempotency:{digest}"
