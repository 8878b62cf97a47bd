"""`publish.lua` and the trimming of the log, branch by branch."""

import pytest

from broker import keys
from tests.session_state import ANA, BEN, EPOCH, PARTITION, Hot, bodies, message

BLOCK = 100  # the most entries that Redis keeps in one block of a stream, `stream-node-max-entries`


async def test_unknown(hot: Hot) -> None:
    """Without hot state nothing is published or kept."""
    assert await hot.publish(key="k") == b"unknown"
    assert await hot.keys() == set()


async def test_closed(hot: Hot) -> None:
    """A closed session takes no message."""
    await hot.open(is_active=0)
    assert await hot.publish(key="k") == b"closed"
    assert (await hot.keys(), await hot.heard()) == ({""}, [])


@pytest.mark.parametrize("kind", ["m", "e"])
async def test_published(hot: Hot, kind: str) -> None:
    """A message gets the next seq, and the same payload goes to the log, the stream and the channel."""
    await hot.open(seq=41)
    assert await hot.publish("one", kind=kind) == 42
    assert await hot.publish("two", kind=kind, user="-") == 43
    payloads = [message(42, "one", kind=kind), message(43, "two", kind=kind, user="-")]
    assert await hot.log() == dict(zip(["42-0", "43-0"], payloads, strict=True))
    assert await hot.heard() == payloads
    assert await hot.recorded() == bodies(*payloads)
    assert (await hot.hash())["seq"] == "43"


async def test_the_worker_learns_the_epoch(hot: Hot) -> None:
    """An entry for the worker names the session and the epoch that its seq belongs to."""
    await hot.open(epoch="another")
    await hot.publish()
    assert [(entry["s"], entry["e"]) for entry in await hot.stream()] == [(hot.id, "another")]


async def test_a_key_is_good_for_one_message(hot: Hot) -> None:
    """The key's first message is told again, by seq and id; nothing is published a second time."""
    await hot.open()
    assert await hot.publish("one", key=f"{ANA} k", message_id="m-1") == 1
    await hot.heard()
    assert await hot.publish("two", key=f"{ANA} k", message_id="m-2") == b"1 m-1 0"
    assert (await hot.heard(), len(await hot.recorded()), len(await hot.log())) == ([], 1, 1)
    assert (await hot.hash())["seq"] == "1"


async def test_a_key_is_its_users_own(hot: Hot) -> None:
    """Another user's key of the same letters is another key."""
    await hot.open()
    assert await hot.publish(key=f"{ANA} k") == 1
    assert await hot.publish(key=f"{BEN} k", user=BEN) == 2
    assert await hot.publish(user=BEN) == 3


async def test_a_key_is_remembered_for_a_while(hot: Hot) -> None:
    """A key is forgotten after the given seconds, no matter how often it is repeated."""
    await hot.open()
    await hot.publish(key=f"{ANA} k", key_seconds=300)
    await hot.publish(key=f"{ANA} k", key_seconds=900)
    assert 290 < await hot.redis("TTL", f"{hot.key}:key:{ANA} k") <= 300


async def test_a_repeated_key_after_the_end(hot: Hot) -> None:
    """What was published once is told again when the session has been closed; a new key is refused then."""
    await hot.open()
    await hot.publish(key=f"{ANA} k")
    await hot.close()
    assert await hot.publish(key=f"{ANA} k") == b"1 m-1 0"
    assert await hot.publish(key=f"{ANA} other") == b"closed"


async def test_a_repeated_key_of_a_refused_message(hot: Hot) -> None:
    """A message that Postgres refused does not pass for committed, whatever watermark has gone by."""
    await hot.open()
    await hot.publish(key=f"{ANA} k")
    await hot.publish(key=f"{ANA} next", message_id="m-2")
    await hot.redis("HSET", hot.key, "persisted", 2)
    await hot.redis("SET", keys.refused(PARTITION, hot.id, 1), 1)
    assert await hot.publish(key=f"{ANA} k") == b"1 m-1 refused"
    assert await hot.publish(key=f"{ANA} next") == b"2 m-2 2"


async def test_backlog(hot: Hot) -> None:
    """While too many entries wait for Postgres nothing is published, and no key is spent."""
    await hot.open()
    assert await hot.publish(max_backlog=1) == 1
    await hot.heard()
    assert await hot.publish(max_backlog=1, key=f"{ANA} k") == b"backlog"
    assert (await hot.heard(), (await hot.hash())["seq"], len(await hot.log())) == ([], "1", 1)
    assert await hot.publish(max_backlog=2, key=f"{ANA} k") == 2


async def test_a_repeated_key_is_answered_in_spite_of_the_backlog(hot: Hot) -> None:
    """What was published once is told again even while nothing new is taken."""
    await hot.open()
    await hot.publish(key=f"{ANA} k")
    assert await hot.publish(key=f"{ANA} k", max_backlog=1) == b"1 m-1 0"


async def test_a_message_to_an_empty_session_starts_its_idle_time_anew(hot: Hot) -> None:
    """Published to nobody, a message keeps the hot state alive, and its log goes away with it."""
    await hot.open()
    await hot.redis("EXPIRE", hot.key, 5)
    await hot.publish(kind="e", user="-")
    assert await hot.expiring() == {"", ":log"}


async def test_a_message_to_users_sets_no_limit(hot: Hot) -> None:
    """While somebody is there the hot state stays."""
    await hot.open()
    await hot.join(ANA)
    await hot.publish()
    assert await hot.expiring() == set()


async def test_the_log_is_trimmed_to_recent_events(hot: Hot) -> None:
    """Of events that Postgres has, about `log_events` stay: Redis drops whole blocks of a stream only."""
    await hot.open(log_events=16)
    await _publish(hot, 255)
    await hot.redis("HSET", hot.key, "persisted", 255)
    await _publish(hot, 1)
    kept = await _kept(hot)
    assert kept == list(range(kept[0], 257))
    assert 16 <= len(kept) <= 16 + BLOCK


async def test_the_log_is_never_trimmed_past_what_postgres_has(hot: Hot) -> None:
    """Events above the persisted watermark stay, however many they are."""
    await hot.open(log_events=16)
    await _publish(hot, 255)
    await hot.redis("HSET", hot.key, "persisted", 150)
    await _publish(hot, 1)
    kept = await _kept(hot)
    assert kept == list(range(kept[0], 257))
    assert 151 - BLOCK <= kept[0] <= 151


@pytest.mark.parametrize("persisted", [0, 300])
async def test_a_short_log_is_not_trimmed(hot: Hot, persisted: int) -> None:
    """Nothing is dropped while nothing is persisted, or while there are no more than `log_events`."""
    await hot.open(log_events=300 if persisted else 16)
    await hot.redis("HSET", hot.key, "persisted", persisted)
    await _publish(hot, 256)
    assert len(await hot.log()) == 256


async def test_the_log_is_trimmed_now_and_then(hot: Hot) -> None:
    """Trimming is done at every 64th event, not at each."""
    await hot.open(log_events=16)
    await _publish(hot, 192)
    await hot.redis("HSET", hot.key, "persisted", 192)
    await _publish(hot, 63)
    assert len(await hot.log()) == 255
    await _publish(hot, 1)
    assert len(await hot.log()) <= 16 + BLOCK


async def _kept(hot: Hot) -> list[int]:
    return [int(entry.partition("-")[0]) for entry in await hot.log()]


async def _publish(hot: Hot, count: int) -> None:
    for _ in range(count):
        assert type(await hot.publish(user="-")) is int
    assert {entry["e"] for entry in await hot.stream()} == {EPOCH}


async def test_an_awaited_message_is_watched(hot: Hot) -> None:
    """While somebody waits for a commit, the session remembers up to which seq."""
    await hot.open()
    await hot.publish()
    assert "watch" not in await hot.hash()
    await hot.publish(is_awaited=True)
    await hot.publish()
    assert (await hot.hash())["watch"] == "2"


async def test_an_awaited_repetition_is_watched_too(hot: Hot) -> None:
    """The repetition of a message that nobody waited for makes it watched, and never lowers what is watched."""
    await hot.open()
    await hot.publish(key=f"{ANA} k")
    assert await hot.publish(key=f"{ANA} k", is_awaited=True) == b"1 m-1 0"
    assert (await hot.hash())["watch"] == "1"
    await hot.publish(is_awaited=True)
    assert await hot.publish(key=f"{ANA} k", is_awaited=True) == b"1 m-1 0"
    assert (await hot.hash())["watch"] == "2"
