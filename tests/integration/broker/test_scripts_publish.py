"""`publish.lua` and the trimming of the log, branch by branch."""

import pytest

from tests.session_state import ANA, BEN, EPOCH, KEYS, PARTITION, SessionState, bodies, message

BLOCK = 100  # the most entries that Redis keeps in one block of a stream, `stream-node-max-entries`


async def test_publishing_to_an_unknown_session_stores_nothing(session: SessionState) -> None:
    """Without hot state nothing is published or kept."""
    assert await session.publish(key="k", is_seated=False) == b"unknown"
    assert await session.keys() == set()


async def test_publishing_to_a_closed_session_is_refused(session: SessionState) -> None:
    """A closed session takes no message."""
    await session.open(is_active=0)
    assert await session.publish(key="k", is_seated=False) == b"closed"
    assert await session.publish(key="k", user="-") == b"closed"
    assert (await session.keys(), await session.heard()) == ({""}, [])


async def test_a_user_without_a_seat_publishes_nothing(session: SessionState) -> None:
    """Who was seen to leave says nothing more, whatever a gateway that has slept still sends; no key is spent."""
    await session.open()
    await session.join(ANA)
    await session.join(BEN, connection="c-2")
    await session.leave(ANA)
    await session.heard()
    assert await session.publish(key=f"{ANA} k", is_seated=False) == b"unseated"
    assert (await session.heard(), (await session.hash())["seq"]) == ([], "3")
    await session.join(ANA, connection="c-3")
    assert await session.publish(key=f"{ANA} k", is_seated=False) == 5


async def test_a_repeated_key_is_answered_without_a_seat(session: SessionState) -> None:
    """The answer to a message that was published is told again, though its user has left meanwhile."""
    await session.open()
    await session.join(ANA)
    assert await session.publish(key=f"{ANA} k") == 2
    await session.leave(ANA)
    assert await session.publish(key=f"{ANA} k", is_seated=False) == b"2 m-1 0"


async def test_a_user_who_is_away_may_still_publish(session: SessionState) -> None:
    """A message on its way when its connection broke is published: nobody saw its user leave."""
    await session.open()
    await session.join(ANA)
    await session.leave(ANA, "lost")
    assert await session.publish(is_seated=False) == 2


@pytest.mark.parametrize("kind", ["m", "e"])
async def test_a_message_goes_to_the_log_the_stream_and_the_channel(session: SessionState, kind: str) -> None:
    """A message gets the next seq, and the same payload goes to the log, the stream and the channel."""
    await session.open(seq=41)
    assert await session.publish("one", kind=kind) == 42
    assert await session.publish("two", kind=kind, user="-") == 43
    payloads = [message(42, "one", kind=kind), message(43, "two", kind=kind, user="-")]
    assert await session.log() == dict(zip(["42-0", "43-0"], payloads, strict=True))
    assert await session.heard() == payloads
    assert await session.recorded() == bodies(*payloads)
    assert (await session.hash())["seq"] == "43"


async def test_an_entry_for_the_worker_names_the_epoch(session: SessionState) -> None:
    """An entry for the worker names the session and the epoch that its seq belongs to."""
    await session.open(epoch="another")
    await session.publish()
    assert [(entry["s"], entry["e"]) for entry in await session.stream()] == [(session.id, "another")]


async def test_a_repeated_key_publishes_nothing(session: SessionState) -> None:
    """The key's first message is told again, by seq and id; nothing is published a second time."""
    await session.open()
    assert await session.publish("one", key=f"{ANA} k", message_id="m-1") == 1
    await session.heard()
    assert await session.publish("two", key=f"{ANA} k", message_id="m-2") == b"1 m-1 0"
    assert (await session.heard(), len(await session.recorded()), len(await session.log())) == ([], 1, 1)
    assert (await session.hash())["seq"] == "1"


async def test_users_with_the_same_key_do_not_meet(session: SessionState) -> None:
    """Another user's key of the same letters is another key."""
    await session.open()
    assert await session.publish(key=f"{ANA} k") == 1
    assert await session.publish(key=f"{BEN} k", user=BEN) == 2
    assert await session.publish(user=BEN) == 3


async def test_a_key_expires(session: SessionState) -> None:
    """A key is forgotten after the given seconds, no matter how often it is repeated."""
    await session.open()
    await session.publish(key=f"{ANA} k", key_seconds=300)
    await session.publish(key=f"{ANA} k", key_seconds=900)
    assert 290 < await session.redis("TTL", f"{session.key}:key:{ANA} k") <= 300


async def test_a_repeated_key_is_answered_after_the_session_closed(session: SessionState) -> None:
    """A repeated key is answered when the session has been closed; a new key is refused then."""
    await session.open()
    await session.publish(key=f"{ANA} k")
    await session.close()
    assert await session.publish(key=f"{ANA} k", is_seated=False) == b"1 m-1 0"
    assert await session.publish(key=f"{ANA} other", is_seated=False) == b"closed"


async def test_a_repeated_key_of_a_refused_message_is_not_committed(session: SessionState) -> None:
    """A message that Postgres refused does not pass for committed, whatever watermark has gone by."""
    await session.open()
    await session.publish(key=f"{ANA} k")
    await session.publish(key=f"{ANA} next", message_id="m-2")
    await session.redis("HSET", session.key, "persisted", 2)
    await session.redis("SET", KEYS.refused(PARTITION, session.id, 1), 1)
    assert await session.publish(key=f"{ANA} k") == b"1 m-1 refused"
    assert await session.publish(key=f"{ANA} next") == b"2 m-2 2"


async def test_a_full_backlog_refuses_a_message(session: SessionState) -> None:
    """While too many entries wait for Postgres nothing is published, and no key is spent."""
    await session.open()
    assert await session.publish(max_backlog=1) == 1
    await session.heard()
    assert await session.publish(max_backlog=1, key=f"{ANA} k") == b"backlog"
    assert (await session.heard(), (await session.hash())["seq"], len(await session.log())) == ([], "1", 1)
    assert await session.publish(max_backlog=2, key=f"{ANA} k") == 2


async def test_a_repeated_key_is_answered_in_spite_of_the_backlog(session: SessionState) -> None:
    """A repeated key is answered even while the backlog is full."""
    await session.open()
    await session.publish(key=f"{ANA} k")
    assert await session.publish(key=f"{ANA} k", max_backlog=1) == b"1 m-1 0"


async def test_a_message_to_an_empty_session_starts_its_idle_time_anew(session: SessionState) -> None:
    """A message to a session without users keeps the hot state alive; the log expires with it."""
    await session.open()
    await session.redis("EXPIRE", session.key, 5)
    await session.publish(kind="e", user="-")
    assert await session.expiring() == {"", ":log"}


async def test_a_message_to_seated_users_sets_no_time_limit(session: SessionState) -> None:
    """While a user holds a seat the hot state stays."""
    await session.open()
    await session.join(ANA)
    await session.publish()
    assert await session.expiring() == set()


async def test_the_log_is_trimmed_to_recent_events(session: SessionState) -> None:
    """Of events that Postgres has, about `log_events` stay: Redis drops whole blocks of a stream only."""
    await session.open(log_events=16)
    await _publish(session, 255)
    await session.redis("HSET", session.key, "persisted", 255)
    await _publish(session, 1)
    kept = await _kept(session)
    assert kept == list(range(kept[0], 257))
    assert 16 <= len(kept) <= 16 + BLOCK


async def test_the_log_is_never_trimmed_past_what_postgres_has(session: SessionState) -> None:
    """Events above the persisted watermark stay, however many they are."""
    await session.open(log_events=16)
    await _publish(session, 255)
    await session.redis("HSET", session.key, "persisted", 150)
    await _publish(session, 1)
    kept = await _kept(session)
    assert kept == list(range(kept[0], 257))
    assert 151 - BLOCK <= kept[0] <= 151


@pytest.mark.parametrize("persisted", [0, 300])
async def test_a_short_log_is_not_trimmed(session: SessionState, persisted: int) -> None:
    """Nothing is dropped while nothing is persisted, or while there are no more than `log_events`."""
    await session.open(log_events=300 if persisted else 16)
    await session.redis("HSET", session.key, "persisted", persisted)
    await _publish(session, 256)
    assert len(await session.log()) == 256


async def test_the_log_is_trimmed_at_every_64th_event(session: SessionState) -> None:
    """Trimming is done at every 64th event, not at each."""
    await session.open(log_events=16)
    await _publish(session, 192)
    await session.redis("HSET", session.key, "persisted", 192)
    await _publish(session, 63)
    assert len(await session.log()) == 255
    await _publish(session, 1)
    assert len(await session.log()) <= 16 + BLOCK


async def _kept(session: SessionState) -> list[int]:
    return [int(entry.partition("-")[0]) for entry in await session.log()]


async def _publish(session: SessionState, count: int) -> None:
    for _ in range(count):
        assert type(await session.publish(user="-")) is int
    assert {entry["e"] for entry in await session.stream()} == {EPOCH}


async def test_an_awaited_message_is_watched(session: SessionState) -> None:
    """While a publisher waits for a commit, the session remembers up to which seq."""
    await session.open()
    await session.publish()
    assert "watch" not in await session.hash()
    await session.publish(is_awaited=True)
    await session.publish()
    assert (await session.hash())["watch"] == "2"


async def test_an_awaited_repetition_is_watched_too(session: SessionState) -> None:
    """The repetition of a message that nobody waited for makes it watched, and never lowers what is watched."""
    await session.open()
    await session.publish(key=f"{ANA} k")
    assert await session.publish(key=f"{ANA} k", is_awaited=True) == b"1 m-1 0"
    assert (await session.hash())["watch"] == "1"
    await session.publish(is_awaited=True)
    assert await session.publish(key=f"{ANA} k", is_awaited=True) == b"1 m-1 0"
    assert (await session.hash())["watch"] == "2"
