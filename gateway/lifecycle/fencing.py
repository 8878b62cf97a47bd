"""Checks that a Redis process with new data undoes nothing that Postgres knows. See docs/decisions/0004 and 0015."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

import structlog

from broker.errors import BrokerError, BrokerUnavailableError
from broker.redis.futures import ignore_result
from broker.redis.link import Link
from broker.redis.scripts import Scripts
from broker.sessions.fence import Fence, RedisState
from broker.sessions.recorded import Reconciled
from persistence.errors import PersistenceError
from persistence.sessions import StoredSessions

PAGE_SESSIONS = 500
POLL_SECONDS = 0.05
RETRY_SECONDS = 0.5
# Sessions wait no longer than this for one answer of Postgres; the comparison goes on, and mends sessions later.
PATIENCE_SECONDS = 5.0

Answer = TypeVar("Answer")

log = structlog.get_logger()


@dataclass
class _Tally:
    """What a comparison has found: how many sessions it compared, and what Redis had lost of them."""

    sessions: int = 0
    fenced: int = 0
    removed: int = 0
    closed: int = 0

    def add(self, results: Sequence[Reconciled]) -> None:
        """Count a page."""
        self.sessions += len(results)
        for result in results:
            self.fenced += result.is_fenced
            self.removed += result.removed
            self.closed += result.is_closed


class Fencing:
    """Shuts the scripts when the link comes up, and opens them once every hot session agrees with Postgres."""

    def __init__(
        self,
        link: Link,
        scripts: Scripts,
        fence: Fence,
        stored: StoredSessions,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
        page_sessions: int = PAGE_SESSIONS,
    ) -> None:
        self._link = link
        self._scripts = scripts
        self._fence = fence
        self._stored = stored
        self._linked = asyncio.Event()
        self._asked: asyncio.Future[RedisState] | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._patience_seconds = patience_seconds
        self._retry_seconds = retry_seconds
        self._page_sessions = page_sessions
        # Whether Postgres owes an answer.
        self._is_waiting = False

    @property
    def is_open(self) -> bool:
        """Whether events may get seqs."""
        return not self._scripts.is_shut

    def linked(self) -> None:
        """The link has a new connection to Redis: shut the scripts until this Redis process is checked."""
        # Before the answer no script may give a seq.
        self._shut()
        self._asked = self._fence.ask()
        self._asked.add_done_callback(ignore_result)
        self._linked.set()

    async def run(self) -> None:
        """Check each connection until cancelled."""
        while True:
            await self._linked.wait()
            self._linked.clear()
            try:
                await self._check()
            except BrokerUnavailableError as error:
                # Redis is unreachable again, or still loads its data.
                log.info("fencing.interrupted", reason=str(error))
                await asyncio.sleep(self._retry_seconds)
                if self._link.is_up:
                    self._shut()
                    self._linked.set()
            except (BrokerError, ValueError) as error:
                log.warning("fencing.impossible", reason=str(error), mend="allow INFO, GET, SET and SCAN")
                self._open()

    async def _check(self) -> None:
        asked, self._asked = self._asked or self._fence.ask(), None
        found = await asked
        if not found.is_checked:
            await self._compare(found)
        if not self._linked.is_set():
            self._open()

    async def _compare(self, found: RedisState) -> None:
        """Compare every session in Redis with what Postgres knows of it, unless another gateway does that."""
        while not await self._fence.claim():
            # When Postgres is away, the gateway that compares can't go on, and this one must not wait for it.
            await self._patiently(lambda: self._stored.recorded(()))
            await asyncio.sleep(POLL_SECONDS)
            if await self._fence.is_checked(found.data):
                return
        began_at = time.monotonic()
        tally = _Tally()
        reconciling: asyncio.Future[list[Reconciled]] | None = None
        async for session_ids in self._fence.hot_sessions(self._page_sessions):
            recorded = await self._patiently(lambda page=session_ids: self._stored.recorded(page))  # type: ignore[misc]
            if reconciling is not None:
                tally.add(await reconciling)
            reconciling = self._fence.reconcile(recorded)  # while Postgres is asked for the next page
            reconciling.add_done_callback(ignore_result)
        if reconciling is not None:
            tally.add(await reconciling)
        await self._fence.checked(found.data)
        seconds = round(time.monotonic() - began_at, 3)
        log.info("fencing.compared", data=found.data, seconds=seconds, **asdict(tally))

    async def _patiently(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer of Postgres, however long that takes; meanwhile the patience runs."""
        self._is_waiting = True
        self._start_patience()
        try:
            while True:
                try:
                    return await ask()
                except PersistenceError as error:
                    log.warning("fencing.waits", reason=str(error))
                    await asyncio.sleep(self._retry_seconds)
        finally:
            self._is_waiting = False
            self._end_patience()

    def _shut(self) -> None:
        self._scripts.shut()
        if self._is_waiting:  # a check that began with an earlier connection
            self._start_patience()

    def _open(self) -> None:
        self._scripts.open()
        self._end_patience()

    def _start_patience(self) -> None:
        self._end_patience()
        self._patience = asyncio.get_running_loop().call_later(self._patience_seconds, self._patience_over)

    def _end_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()

    def _patience_over(self) -> None:
        log.warning("fencing.unchecked", seconds=self._patience_seconds)
        self._open()
