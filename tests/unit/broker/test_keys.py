"""Names in Redis: everything that one script touches lies in one slot of a cluster."""

import fnmatch
import uuid
from collections import Counter

import pytest
from redis.crc import key_slot

from broker.keys import Keys

KEYS = Keys("seance", 16)
SESSION = "5b0d7a52-6c07-4b86-9b2d-0d4f6a6b9f10"


@pytest.mark.parametrize("partition", [0, 7, 15, 1023])
def test_a_partition_is_one_slot(partition: int) -> None:
    """All keys of a partition, those that scripts make from its prefix too, carry the same hash tag."""
    session = KEYS.session(partition, SESSION)
    names = [
        KEYS.part(partition),
        session,
        *(f"{session}:{suffix}" for suffix in ("users", "names", "removed", "key:u1 k")),
        KEYS.log(partition, SESSION),
        KEYS.events(partition),
        KEYS.dead(partition),
        KEYS.owner(partition),
        KEYS.gateways(partition),
        KEYS.part(partition) + "gateway:gw-1",
        KEYS.part(partition) + "away",
    ]
    assert {key_slot(name.encode()) for name in names} == {key_slot(str(partition).encode())}
    assert len(set(names)) == len(names)


def test_the_names_of_keys_do_not_change() -> None:
    """The names are those that the scripts and the operations page rely on."""
    assert KEYS.session(3, "s") == "seance:{3}:session:s"
    assert KEYS.log(3, "s") == "seance:{3}:session:s:log"
    assert (KEYS.events(3), KEYS.dead(3)) == ("seance:{3}:events", "seance:{3}:dead")
    assert (KEYS.owner(3), KEYS.gateways(3)) == ("seance:{3}:owner", "seance:{3}:gateways")
    assert KEYS.idempotency("d") == "seance:idempotency:d"
    assert (KEYS.claim, KEYS.workers) == ("seance:partitions", "seance:workers")


def test_every_name_begins_with_the_prefix() -> None:
    """No key or channel is outside of the prefix; outside of database 0 the prefix carries the number."""
    keys = Keys.of("staging", 4, 0)
    names = [
        *(keys.claim, keys.workers, keys.fenced, keys.fencing, keys.canary("gw-1"), keys.idempotency("d")),
        *(keys.part(3), keys.session(3, "s"), keys.refused(3, "s", 1), keys.log(3, "s"), keys.events(3)),
        *(keys.dead(3), keys.owner(3), keys.gateways(3)),
    ]
    assert [name for name in names if not name.startswith("staging:")] == []
    assert Keys.of("staging", 4, 2).session(3, "s") == "staging@2:{3}:session:s"


def test_a_session_stays_in_its_partition() -> None:
    """The partition follows from the id alone, for ever: data that is stored depends on it."""
    assert [Keys("seance", partitions).partition_of(SESSION) for partitions in (1, 4, 16, 1024)] == [0, 2, 10, 378]


def test_sessions_spread_evenly_over_partitions() -> None:
    """Partitions get about the same number of sessions."""
    counts = Counter(KEYS.partition_of(str(uuid.UUID(int=number * 2**64 + 7))) for number in range(16_000))
    assert len(counts) == 16
    assert min(counts.values()) > 800
    assert max(counts.values()) < 1200


@pytest.mark.parametrize("prefix", ["seance", "staging@2"])
@pytest.mark.parametrize("partitions", [1, 16, 1024])
def test_the_hash_of_a_session_is_found_among_all_keys(prefix: str, partitions: int) -> None:
    """The pattern for SCAN matches the hash of every session, and the id is read from that name alone."""
    keys = Keys(prefix, partitions)
    partition = keys.partition_of(SESSION)
    name = keys.session(partition, SESSION)
    assert fnmatch.fnmatchcase(name, keys.sessions)
    assert keys.session_id_of(name.encode()) == SESSION
    others = (f"{name}:users", f"{name}:key:u {SESSION}", f"{keys.part(partition)}gateway:{SESSION}", f"x{name}")
    assert [keys.session_id_of(other.encode()) for other in others] == [None] * 4
    assert keys.session_id_of(b"\xff" * 80) is None
