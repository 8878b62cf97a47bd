"""worker: from full partition streams into Postgres, beside a bare COPY of the same rows into an equal table."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import redis

from bench.load.marks import CheckFailedError
from bench.processes import Server
from bench.product import Backend, create_sessions, running_backend, running_gateways, start_worker
from bench.scenarios.stage import Stage
from bench.statistics import ratio, summarise
from bench.targets import Outcome, evaluate
from broker.keys import Keys

NAME = "worker"
IS_PINNED = False
PARTITIONS = 16
KEYS = Keys("seance", PARTITIONS)
SESSIONS = 200
COPY_ROWS = 5000
FILL_SEQS = 50
POLL_SECONDS = 0.005
LONGEST_SECONDS = 60.0
MOMENT = datetime(2026, 11, 22, 21, 5, tzinfo=UTC)
TEXT = "a message of about a hundred characters, as people write them when they are talking to each other "
USER = "0b0c8d0e-8a54-4b0c-9d37-4f1df7cd5b11"
# KEYS 1 prefix of the partition's keys; ARGV 1 first seq  2 last seq  3 user id  4 text, then the sessions.
_FILL = """
for seq = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  for i = 5, #ARGV do
    local session = ARGV[i]
    local epoch = redis.call('HGET', KEYS[1] .. 'session:' .. session, 'epoch')
    local id = string.sub(session, 1, 24) .. string.format('%012d', seq)
    local body = '{"type":"message_received","seq":' .. seq .. ',"ts":"2026-11-22T21:05:00.000Z","data":{"id":"' .. id
      .. '","session_id":"' .. session .. '","user_id":"' .. ARGV[3] .. '","user_name":"Ana","text":"' .. ARGV[4] .. seq
      .. '","timestamp":"2026-11-22T21:05:00.000Z","is_spirit":false}}'
    redis.call('XADD', KEYS[1] .. 'events', '*', 's', session, 'e', epoch, 'd', body)
  end
end
"""
COLUMNS = ("session_id", "seq", "id", "user_id", "user_name", "text", "timestamp", "is_spirit")


def run(stage: Stage) -> Outcome:
    """Worker and COPY in turn. Raises CheckFailedError unless every message is a row, once."""
    each = stage.pick(600, 200)
    drained: list[float] = []
    copied: list[float] = []
    with ExitStack() as stack:
        every = stage.cores.every
        backend = stack.enter_context(running_backend(stage.folder, every, every))
        with running_gateways(backend, 1, every) as gateways:
            sessions = create_sessions(gateways.ports[0], SESSIONS, 6)
        client = stack.enter_context(redis.Redis.from_url(backend.redis_url))
        for number in range(stage.pick(5, 3)):
            seqs = range(number * each + 1, (number + 1) * each + 1)
            _fill(client, sessions, seqs)
            drained.append(_drain(stage, backend, client, len(sessions) * each))
            asyncio.run(_check(backend.database_url, sessions, seqs.stop - 1))
            copied.append(asyncio.run(_copy(backend.database_url, sessions, seqs)))
            stage.say(f"round {number + 1}: worker {drained[-1]:,.0f} rows/s, bare COPY {copied[-1]:,.0f} rows/s")
    worker, bare = summarise(drained), summarise(copied)
    targets = [
        evaluate("messages/s into Postgres from full streams", worker.median, ">=", 30_000),
        evaluate("worker ÷ bare COPY", ratio(worker.median, bare.median), ">=", 0.4),
    ]
    results = {"unit": "rows/s", "messages": each * SESSIONS, "worker": worker, "bare_copy": bare}
    return Outcome(NAME, results, targets)


def _fill(client: "redis.Redis", sessions: Sequence[str], seqs: range) -> None:
    """Fill the streams as the gateways' script does: the events of all sessions, interleaved."""
    script = client.register_script(_FILL)
    for partition in range(PARTITIONS):
        prefix = KEYS.part(partition)
        inside = [session for session in sessions if KEYS.partition_of(session) == partition]
        for start in range(seqs.start, seqs.stop, FILL_SEQS) if inside else ():
            stop = min(start + FILL_SEQS, seqs.stop)
            script(keys=[prefix], args=[start, stop - 1, USER, TEXT, *inside])


def _drain(stage: Stage, backend: Backend, client: "redis.Redis", messages: int) -> float:
    """Messages a second, from the last poll before the first read to the first poll at which all are acknowledged."""
    worker = start_worker(backend, stage.cores.every)
    try:
        begin = _wait(worker, client, lambda left: left < messages)
        end = _wait(worker, client, lambda left: left == 0)
    finally:
        worker.stop()
    return messages / (end - begin)


def _wait(worker: Server, client: "redis.Redis", is_over: Any) -> float:
    """The time just after the last poll that found `is_over` false."""
    deadline = time.monotonic() + LONGEST_SECONDS
    before = time.monotonic()
    while not is_over(_left(client)):
        before = time.monotonic()
        if before > deadline:
            raise CheckFailedError(f"{_left(client)} messages are left after {LONGEST_SECONDS:g} s ({worker.name})")
        time.sleep(POLL_SECONDS)
    return before


def _left(client: "redis.Redis") -> int:
    """Unacknowledged entries; in a stream without its group all entries count."""
    pipeline = client.pipeline(transaction=False)
    for partition in range(PARTITIONS):
        pipeline.xinfo_groups(KEYS.events(partition))
        pipeline.xlen(KEYS.events(partition))
    answers = iter(pipeline.execute(raise_on_error=False))
    left = 0
    for groups, length in zip(answers, answers, strict=True):
        if isinstance(groups, Exception) or not groups:
            left += length
        else:
            left += groups[0]["pending"] + (length if groups[0]["lag"] is None else groups[0]["lag"])
    return left


async def _check(database_url: str, sessions: Sequence[str], last_seq: int) -> None:
    """Every session has the rows 1 to `last_seq`, each with its own text."""
    connection = await asyncpg.connect(database_url)
    try:
        wrong = await connection.fetchval(
            "SELECT count(*) FROM (SELECT session_id FROM messages WHERE text = $2 || seq GROUP BY session_id"
            " HAVING count(*) = $1 AND min(seq) = 1 AND max(seq) = $1) AS complete",
            last_seq,
            TEXT,
        )
        total = await connection.fetchval("SELECT count(*) FROM messages")
    finally:
        await connection.close()
    if wrong != len(sessions) or total != len(sessions) * last_seq:
        raise CheckFailedError(f"{wrong} of {len(sessions)} sessions are complete, with {total} rows in all")


async def _copy(database_url: str, sessions: Sequence[str], seqs: range) -> float:
    """Rows a second of COPY into an empty table with the same columns, indexes and constraints, one connection."""
    rows = list(_rows(sessions, seqs))
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("DROP TABLE IF EXISTS bench_copy")
        # LIKE copies constraints and indexes, and no foreign keys.
        await connection.execute("CREATE TABLE bench_copy (LIKE messages INCLUDING ALL)")
        await connection.execute("ALTER TABLE bench_copy ADD FOREIGN KEY (session_id) REFERENCES sessions")
        begin = time.monotonic()
        for start in range(0, len(rows), COPY_ROWS):
            await connection.copy_records_to_table(
                "bench_copy", records=rows[start : start + COPY_ROWS], columns=COLUMNS
            )
        return len(rows) / (time.monotonic() - begin)
    finally:
        await connection.close()


def _rows(sessions: Sequence[str], seqs: range) -> Iterator[tuple[Any, ...]]:
    ids = [UUID(session) for session in sessions]
    for seq in seqs:
        for session in ids:
            yield session, seq, uuid4(), uuid4(), "Ana", f"{TEXT}{seq}", MOMENT, False
