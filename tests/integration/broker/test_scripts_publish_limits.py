"""The limits in `publish.lua`: the buckets of a session and of its users, and the backlog and the log in bytes."""

import pytest

from tests.session_state import ANA, BEN, SessionState, now_ms

PLENTY = 1 << 40
# One token in 100 s, three at once.
INTERVAL_US, BURST_US = 100_000_000, 300_000_000
KIB = 1024


def limits(*, session: int = 0, user: int = 0, max_bytes: int = PLENTY) -> tuple[int, ...]:
    """The arguments of the script when a message takes so many tokens."""
    return max_bytes, session, INTERVAL_US, BURST_US, user, INTERVAL_US, BURST_US


async def published(state: SessionState, *, session: int = 0, user: int = 0, most: int = 10) -> tuple[int, bytes]:
    """How many messages were published that took so many tokens each, and which limit refused the next one."""
    for count in range(most):
        reply = await state.publish(limits=limits(session=session, user=user))
        if type(reply) is not int:
            what, _, wait_ms = reply.rpartition(b" ")
            assert 90_000 < int(wait_ms) <= 100_000
            return count, what
    return most, b""


async def test_a_session_has_its_burst_and_then_its_rate(session: SessionState) -> None:
    """The messages of all users and of servers together are limited; nothing of a refused message stays."""
    await session.open()
    assert await session.publish(user=BEN, limits=limits(session=1)) == 1
    assert await session.publish(user="-", limits=limits(session=1)) == 2
    assert await published(session, session=1) == (1, b"limited messages_session")
    await session.heard()
    assert (await session.publish(limits=limits(session=1), key=f"{ANA} k")).startswith(b"limited messages_session")
    assert (await session.heard(), len(await session.log()), (await session.hash())["seq"]) == ([], 3, "3")
    assert await session.redis("EXISTS", f"{session.key}:key:{ANA} k") == 0


async def test_a_user_has_a_burst_and_then_a_rate(session: SessionState) -> None:
    """Another user of the session has a bucket of their own, and servers have none of this kind."""
    await session.open()
    assert await published(session, user=1) == (3, b"limited messages_user")
    assert await session.publish(user=BEN, limits=limits(user=1)) == 4
    assert await session.publish(user="-", limits=limits()) == 5


async def test_a_message_may_pay_for_those_before_it(session: SessionState) -> None:
    """Two tokens at once, and a refusal takes none, neither of the user nor of the session."""
    await session.open()
    assert await session.publish(limits=limits(user=2, session=1)) == 1
    assert (await session.publish(limits=limits(user=2, session=2))).startswith(b"limited messages_user")
    assert await session.publish(limits=limits(user=1, session=2)) == 2


async def test_a_bucket_fills_with_time(session: SessionState) -> None:
    """After the time that was told there is one token; the time passes by moving what the buckets remember."""
    await session.open()
    assert await published(session, user=1, session=1) == (3, b"limited messages_session")
    await session.redis("HINCRBY", session.key, "full_at", -INTERVAL_US)
    assert await published(session, user=1, session=1) == (0, b"limited messages_user")
    await session.redis("HINCRBY", f"{session.key}:buckets", ANA, -INTERVAL_US)
    assert await published(session, user=1, session=1) == (1, b"limited messages_session")


async def test_a_clock_that_was_set_back_empties_the_buckets_at_worst(session: SessionState) -> None:
    """A bucket that would be full in an hour only, since the clock went back by that, is full after its usual time."""
    await session.open()
    ahead = (now_ms() + 3_600_000) * 1000
    await session.redis("HSET", session.key, "full_at", ahead)
    assert await published(session, session=1) == (0, b"limited messages_session")
    await session.redis("HSET", f"{session.key}:buckets", ANA, ahead)
    assert await published(session, user=1) == (0, b"limited messages_user")


async def test_a_repeated_key_is_answered_in_spite_of_limits(session: SessionState) -> None:
    """The first message is told again, and no token is taken."""
    await session.open()
    await session.publish(key=f"{ANA} k", limits=limits(user=3))
    assert await session.publish(key=f"{ANA} k", limits=limits(user=3)) == b"1 m-1 0"


@pytest.mark.parametrize("how", ["leave", "close", "open"])
async def test_the_bucket_of_a_user_goes_with_the_seat(session: SessionState, how: str) -> None:
    """Nothing is kept of users who left, nor of a session that is closed or loaded anew."""
    await session.open()
    await session.join(ANA)
    await session.publish(limits=limits(user=1))
    assert await session.redis("HKEYS", f"{session.key}:buckets") == [ANA.encode()]
    match how:
        case "leave":
            await session.leave(ANA)
        case "close":
            await session.close()
        case _:
            await session.redis("DEL", session.key)
            await session.open()
    assert await session.redis("EXISTS", f"{session.key}:buckets") == 0


async def test_too_many_bytes_of_a_session_wait_for_postgres(session: SessionState) -> None:
    """Only what lies above the watermark counts; once Postgres has it, messages are taken again."""
    await session.open()
    for _ in range(40):
        await session.publish("x" * KIB)
    assert await session.publish(limits=limits(max_bytes=200 * KIB)) == 41
    assert await session.publish(limits=limits(max_bytes=30 * KIB)) == b"session_backlog"
    await session.redis("HSET", session.key, "persisted", 20)
    assert await session.publish(limits=limits(max_bytes=30 * KIB)) == 42
    assert await session.publish(limits=limits(max_bytes=10 * KIB)) == b"session_backlog"
    await session.redis("HSET", session.key, "persisted", 42)
    assert await session.publish(limits=limits(max_bytes=1)) == 43


async def test_the_backlog_of_a_session_starts_anew_after_it_was_fenced(session: SessionState) -> None:
    """The log of the new epoch is all that counts."""
    await session.open()
    for _ in range(40):
        await session.publish("x" * KIB)
    await session.fence(41)
    assert await session.publish(limits=limits(max_bytes=30 * KIB)) == 2_000_001


async def test_the_log_is_trimmed_to_its_bytes(session: SessionState) -> None:
    """Large events leave the log earlier, and never before Postgres has them."""
    await session.open(log_bytes=64 * KIB)
    for _ in range(128):
        await session.publish("x" * KIB)
    assert len(await session.log()) == 128
    await session.redis("HSET", session.key, "persisted", 191)
    for _ in range(64):
        await session.publish("x" * KIB)
    assert 40 * KIB < await session.redis("MEMORY", "USAGE", f"{session.key}:log") <= 72 * KIB
