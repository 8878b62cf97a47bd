"""The worker process: drains the partition streams into Postgres until it is told to stop."""

import asyncio
import contextlib
import gc
import signal
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, NoReturn

import msgspec
import structlog
import uvloop

from broker.errors import MISCONFIGURED, BrokerUnavailableError
from broker.keys import Keys
from broker.redis.backoff import Backoff
from broker.redis.link import Link
from broker.redis.scripts import WORKER_SCRIPTS, Scripts
from broker.secrecy import concealed
from broker.streams.ownership import LEASE_MS, RENEW_SECONDS, Ownership
from broker.streams.partition_streams import PartitionStreams
from persistence.address import Pooler
from persistence.audit import Audit
from persistence.counters import Counters
from persistence.engine import create_engine
from persistence.errors import PersistenceError
from persistence.installation import Bond
from persistence.lane import Batching, LaneTimings, PartitionLane
from persistence.marks import Marks
from persistence.metrics import Readings, exposed, watch_lag
from persistence.sessions import StoredSessions
from persistence.waiting import FIRST_SECONDS, LONGEST_SECONDS, Outage, is_set_within
from persistence.writer import Writer

# While one lane waits for Postgres, the other reads and decodes; measured in docs/decisions/0001-writer.md.
LANES = 2
EXIT_CONFIGURATION = 2
# How many new objects start the garbage collector. A batch holds some ten thousand, none of them in a cycle: with
# Python's 700 the collector took 45 % of the worker's time.
COLLECT_AFTER = 100_000
DISPOSE_SECONDS = 1.0

log = structlog.get_logger()


class WorkerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration of a worker; timeouts bound the wait for a connection or an answer."""

    database_url: str
    redis_url: str
    keys: Keys
    database_schema: str = ""
    database_pooler: Pooler = "auto"
    batch_entries: int = 1000
    batch_milliseconds: int = 50
    pool_size: int = 20
    max_overflow: int = 10
    database_timeout_seconds: float = 5
    redis_timeout_seconds: float = 5
    # The partitions of a worker that died are taken over after its lease; how often it is renewed must leave room.
    lease_ms: int = LEASE_MS
    renew_seconds: float = RENEW_SECONDS
    sweep_seconds: float = 60
    # How long the worker may take to end; what it has not committed then, another worker writes.
    shutdown_seconds: float = 25
    # Where `/metrics` answers; port 0: nowhere.
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0

    def __repr__(self) -> str:
        return concealed(self, "database_url", "redis_url")


def run(config: WorkerConfig, worker_id: str) -> int:
    """Work until SIGTERM or SIGINT, then finish the batch; returns the exit code: 1 failed, 2 misconfigured."""
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_signalled(config, worker_id))
    except Exception as error:
        causes = error.exceptions if isinstance(error, ExceptionGroup) else (error,)
        if all(isinstance(cause, MISCONFIGURED) for cause in causes):
            log.error("worker.misconfigured", worker_id=worker_id, reason=str(causes[0]))  # noqa: TRY400 - no traceback
            return EXIT_CONFIGURATION
        log.exception("worker.failed", worker_id=worker_id, reason="; ".join(str(cause) for cause in causes))
        return 1
    return 0


async def _until_signalled(config: WorkerConfig, worker_id: str) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(None) as limit:

            def end() -> None:
                if not stop.is_set():
                    stop.set()
                    limit.reschedule(loop.time() + config.shutdown_seconds)

            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, end)
            await work(config, worker_id, stop)
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise TimeoutError(f"the worker did not end within {config.shutdown_seconds:g} s") from error


async def work(config: WorkerConfig, worker_id: str, stop: asyncio.Event) -> None:
    """Work until `stop` is set; the first error of any task ends all of them and is raised, in an ExceptionGroup."""
    engine = create_engine(
        config.database_url,
        schema=config.database_schema,
        pooler=config.database_pooler,
        pool_size=config.pool_size,
        max_overflow=config.max_overflow,
        timeout_seconds=config.database_timeout_seconds,
    )
    timings = LaneTimings(sweep_seconds=config.sweep_seconds)
    link = Link(config.redis_url, timeout_seconds=config.redis_timeout_seconds, name=worker_id)
    scripts = Scripts(link, WORKER_SCRIPTS)
    link.on_up = (scripts.load,)
    ownership = Ownership(link, scripts, worker_id=worker_id, keys=config.keys, lease_ms=config.lease_ms)
    audit = Audit(Marks(engine))
    redis_outage = Outage(away="worker.redis_away", back="worker.redis_back")
    database_outage = Outage(away="worker.database_away", back="worker.database_back")
    counters = Counters()
    readings = Readings(
        counters=counters, audit=audit, ownership=ownership, redis_outage=redis_outage, database_outage=database_outage
    )
    partition_lanes: list[PartitionLane] = []
    links = [link]
    for number, lane in enumerate(lanes(config.keys.partitions)):
        # A read that waits must not be taken for a silent server.
        timeout_seconds = config.redis_timeout_seconds + timings.read_seconds
        reading = Link(config.redis_url, timeout_seconds=timeout_seconds, name=f"{worker_id}-lane-{number}")
        links.append(reading)
        partition_lanes.append(
            PartitionLane(
                lane,
                stream=PartitionStreams(link, scripts, reading=reading, keys=config.keys),
                writer=Writer(engine),
                stored=StoredSessions(engine),
                audit=audit,
                ownership=ownership,
                batching=Batching(config.batch_entries, config.batch_milliseconds),
                timings=timings,
                stop=stop,
                redis_outage=redis_outage,
                database_outage=database_outage,
                counters=counters,
            )
        )
    try:
        with exposed(readings, worker_id, config.metrics_host, config.metrics_port):
            log.info("worker.started", worker_id=worker_id, partitions=config.keys.partitions)
            upkeep = {
                "worker-leases": partial(_keep_leases, ownership, config.renew_seconds, redis_outage),
                "worker-lag": partial(watch_lag, link, config.keys, ownership, counters),
            }
            is_bound = partial(_is_bound, Bond(link, config.keys, engine), stop, redis_outage, database_outage)
            await _supervise(links, partition_lanes, upkeep, ownership, is_bound)
        log.info("worker.stopped", worker_id=worker_id)
    finally:
        with contextlib.suppress(TimeoutError):  # a Postgres that hangs does not say goodbye
            async with asyncio.timeout(DISPOSE_SECONDS):
                await engine.dispose()


def lanes(partitions: int) -> list[frozenset[int]]:
    """The partitions of each lane; a partition is in the same lane whatever other workers there are."""
    return [frozenset(range(lane, partitions, LANES)) for lane in range(min(LANES, partitions))]


async def _supervise(
    links: Sequence[Link],
    lanes: Sequence[PartitionLane],
    upkeep: Mapping[str, Callable[[], Coroutine[Any, Any, NoReturn]]],
    ownership: Ownership,
    is_bound: Callable[[], Coroutine[Any, Any, bool]],
) -> None:
    """Run all of them; return when the lanes have ended. The death of any task ends the others and is raised."""
    async with asyncio.TaskGroup() as group:
        keepers = [group.create_task(link.keeper.run(), name=f"worker-link-{n}") for n, link in enumerate(links)]
        # A link that has not dialled yet is no outage.
        await asyncio.gather(*(link.keeper.wait_attempted() for link in links))
        # Before that, not even the announcement: it would change what the workers of another installation drain.
        if await is_bound():
            kept = [group.create_task(work(), name=name) for name, work in upkeep.items()]
            await asyncio.wait([group.create_task(lane.run(), name=f"worker-lane-{n}") for n, lane in enumerate(lanes)])
            for task in kept:
                task.cancel()
            await _leave(ownership)
        for keeper in keepers:
            keeper.cancel()


async def _is_bound(bond: Bond, stop: asyncio.Event, redis_outage: Outage, database_outage: Outage) -> bool:
    """Wait until it is known that Redis and database belong together; False when asked to stop before."""
    backoff = Backoff(FIRST_SECONDS, LONGEST_SECONDS)
    while not stop.is_set():
        try:
            await bond.check()
        except BrokerUnavailableError as error:
            redis_outage.begin(str(error))
        except PersistenceError as error:
            database_outage.begin(str(error))
        else:
            redis_outage.end()
            database_outage.end()
            return True
        await is_set_within(stop, backoff.next_seconds())
    return False


async def _keep_leases(ownership: Ownership, renew_seconds: float, outage: Outage) -> NoReturn:
    backoff = Backoff(FIRST_SECONDS, renew_seconds)
    while True:
        try:
            await ownership.renew()
        except BrokerUnavailableError as error:
            outage.begin(str(error))
            delay = backoff.next_seconds()
        else:
            backoff.reset()
            delay = renew_seconds
        await asyncio.sleep(delay)


async def _leave(ownership: Ownership) -> None:
    try:
        await ownership.leave()
    except BrokerUnavailableError as error:
        # The leases expire.
        log.warning("worker.leases_left", reason=str(error))
