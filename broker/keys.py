"""Every Redis key and channel name of one installation.

A session's keys carry the hash tag of its partition: a script touches one slot.
"""

from zlib import crc32

import msgspec

# The consumer group that drains the partition streams into Postgres.
GROUP = "persistence"

# Of a UUID in its usual form.
SESSION_ID_LENGTH = 36


class Keys(msgspec.Struct, frozen=True):
    """The names in Redis that begin with this prefix, for this number of partitions."""

    prefix: str
    partitions: int

    @classmethod
    def of(cls, prefix: str, partitions: int, database: int) -> "Keys":
        """The names of an installation in this database of a Redis.

        Channels belong to the whole Redis, not to a database, and every channel is named as a key is: outside of
        database 0 all names carry the number, so that two databases never hear each other.
        """
        return cls(f"{prefix}@{database}" if database else prefix, partitions)

    # Keys of the whole installation, each used alone, so they need no tag.

    @property
    def claim(self) -> str:
        """The number of partitions that the data was made with."""
        return f"{self.prefix}:partitions"

    @property
    def installation(self) -> str:
        """The id of the installation that the data belongs to."""
        return f"{self.prefix}:installation"

    @property
    def workers(self) -> str:
        """The zset of worker id → lease expiry in ms since the epoch."""
        return f"{self.prefix}:workers"

    @property
    def fenced(self) -> str:
        """Which data were compared with Postgres, and the number of that comparison."""
        return f"{self.prefix}:fenced"

    @property
    def fencing(self) -> str:
        """The gateway that compares them now; expires."""
        return f"{self.prefix}:fencing"

    @property
    def revocations(self) -> str:
        """The hash of "<claim> <value>" → when such tokens were revoked, and until when they are refused."""
        return f"{self.prefix}:revocations"

    @property
    def control(self) -> str:
        """The channel on which every gateway hears of revocations."""
        return f"{self.prefix}:control"

    def canary(self, lease: str) -> str:
        """The key, and the channel, by which one gateway process finds out whether published events arrive."""
        return f"{self.prefix}:canary:{lease}"

    def idempotency(self, digest: str) -> str:
        """The remembered answer to one Idempotency-Key."""
        return f"{self.prefix}:idempotency:{digest}"

    # Keys of one partition.

    def partition_of(self, session_id: str) -> int:
        """The partition that a session lives in: crc32 of its id, modulo the number of partitions."""
        return crc32(session_id.encode()) % self.partitions

    def part(self, partition: int) -> str:
        """The start of every key of a partition."""
        return f"{self.prefix}:{{{partition}}}:"

    def session(self, partition: int, session_id: str) -> str:
        """The session's hash; the same name is its pub/sub channel. Its other keys add a suffix (`:users`, …)."""
        return f"{self.prefix}:{{{partition}}}:session:{session_id}"

    @property
    def sessions(self) -> str:
        """A pattern for SCAN that matches the hash of every session; `session_id_of` sorts out what else it matches."""
        return f"{self.prefix}:{{*}}:session:" + "?" * SESSION_ID_LENGTH

    def session_id_of(self, name: bytes) -> str | None:
        """The id of the session whose hash has this name; None when the name is of another key."""
        session_id = name[-SESSION_ID_LENGTH:].decode(errors="replace")
        is_its_hash = name == self.session(self.partition_of(session_id), session_id).encode()
        return session_id if is_its_hash else None

    def refused(self, partition: int, session_id: str, seq: int) -> str:
        """Mark of a message that Postgres refused for good; it expires."""
        return f"{self.session(partition, session_id)}:refused:{seq}"

    def log(self, partition: int, session_id: str) -> str:
        """The stream of a session's recent sequenced events, entry id `<seq>-0`."""
        return self.session(partition, session_id) + ":log"

    def events(self, partition: int) -> str:
        """The stream that a worker drains."""
        return self.part(partition) + "events"

    def dead(self, partition: int) -> str:
        """The stream of entries that could not be written, with the reason."""
        return self.part(partition) + "dead"

    def owner(self, partition: int) -> str:
        """The id of the worker that drains this partition now; expires with its lease."""
        return self.part(partition) + "owner"

    def gateways(self, partition: int) -> str:
        """The zset of gateway id → lease expiry in ms since the epoch."""
        return self.part(partition) + "gateways"

    def bucket(self, partition: int, what: str, subject: str) -> str:
        """The token bucket of a subject for one limit; expires when the bucket is full."""
        return f"{self.part(partition)}bucket:{what}:{subject}"

    def sockets(self, partition: int, address: str) -> str:
        """The hash of gateway lease → number of the gateway's sockets from this address; expires."""
        return f"{self.part(partition)}sockets:{address}"
