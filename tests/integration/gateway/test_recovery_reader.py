"""The plan of a resume from Postgres: `missed` is exact up to 10 000 messages, and a lower bound above."""

import asyncio

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from broker.sessions.event_log import EventLog
from broker.sessions.live_sessions import Seat
from gateway.protocol.commands import Resume
from gateway.protocol.server_events import Resumed
from gateway.recovery.reader import MISSED_EXACT, RecoveryReader
from persistence.messages import Messages
from persistence.sessions import StoredSessions
from persistence.writer import Writer
from tests.gateway_core import INFO, KEYS, gateway_core

MANY = """
INSERT INTO messages (session_id, seq, id, user_name, text, timestamp)
SELECT $1, seq, gen_random_uuid(), 'Ana', 'hi', now() FROM generate_series(1, $2::int) AS seq
"""
LOGGED = 3


@pytest.mark.parametrize("beyond", [0, 1, 500])
async def test_missed_is_exact_up_to_ten_thousand_messages(redis_url: str, engine: AsyncEngine, beyond: int) -> None:
    """Up to 10 000 messages of the history are counted; above, `missed` is null and a lower bound is told."""
    stored = MISSED_EXACT + beyond
    await StoredSessions(engine).create(name="Evening", id=INFO.id)
    async with engine.begin() as connection:
        await connection.exec_driver_sql(MANY, (INFO.id, stored))
    async with gateway_core(redis_url) as core:
        await core.link.call("HSET", core.key, "seq", stored, "persisted", stored)
        await asyncio.gather(*(core.say() for _ in range(LOGGED)))
        epoch, seq = await core.position()
        reader = RecoveryReader(EventLog(core.link, keys=KEYS), core.sessions, Messages(engine))
        plan = await reader.plan(INFO, Seat(False, seq, epoch, 1, ()), Resume(epoch, 0))
    exact = Resumed(recovered=True, source="history", missed=stored + LOGGED)
    bound = Resumed(recovered=True, source="history", missed=None, missed_at_least=MISSED_EXACT + 1 + LOGGED)
    assert plan.resumed == (bound if beyond else exact)
    assert ("missed_at_least" in msgspec.to_builtins(plan.resumed)) == bool(beyond)


async def test_messages_that_postgres_refused_are_told_as_gaps(redis_url: str, engine: AsyncEngine) -> None:
    """A resume from Postgres announces seqs that were refused for good, in their places; one stored later is sent."""
    stored = (1, 2, 5, 6, 8)
    await StoredSessions(engine).create(name="Evening", id=INFO.id)
    async with engine.begin() as connection:
        insert = MANY.replace("generate_series(1, $2::int) AS seq", "unnest($2::int[]) AS seq")
        await connection.exec_driver_sql(insert, (INFO.id, stored))
    for seq in (3, 4, 6, 9, 20):  # 6 was put back by an operator, and stored; 20 is not below the log
        await Writer(engine).note_refused(INFO.id, seq)
    async with gateway_core(redis_url) as core:
        await core.link.call("HSET", core.key, "seq", 9, "persisted", 9)
        await core.say()
        epoch, seq = await core.position()
        reader = RecoveryReader(EventLog(core.link, keys=KEYS), core.sessions, Messages(engine))
        plan = await reader.plan(INFO, Seat(False, seq, epoch, 1, ()), Resume(epoch, 1))
        events = [msgspec.json.decode(event.body) for event in await reader.next(INFO.id, plan.cursor, seq)]
    told = [
        (event["data"]["from"], event["data"]["to"]) if event["type"] == "gap" else event["seq"] for event in events
    ]
    assert told == [2, (3, 4), 5, 6, 8, (9, 9)]
