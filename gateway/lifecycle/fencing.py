"""Checks that a new Redis process holds every seq handed out before it gives new ones. See docs/decisions/0004."""

import asyncio
import time

import structlog

from broker.errors import BrokerError, BrokerUnavailableError
from broker.redis.futures import ignore_result
from broker.redis.link import Link
from broker.redis.scripts import Scripts
from broker.sessions.epochs import Mark
from broker.sessions.fence import Fence, RedisState
from persistence.errors import PersistenceError
from persistence.marks import Marks

PAGE_SESSIONS = 500
POLL_SECONDS = 0.05
RETRY_SECONDS = 0.5
# Sessions wait no longer than this for an unreachable Postgres; the comparison goes on, and fences sessions later.
PATIENCE_SECONDS = 5.0

log = structlog.get_logger()


class Fencing:
    """Shuts the scripts when the link comes up, and opens them once the sessions are compared with their marks."""

    def __init__(
        self,
        link: Link,
        scripts: Scripts,
        fence: Fence,
        marks: Marks,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
        page_sessions: int = PAGE_SESSIONS,
    ) -> None:
        self._link = link
        self._scripts = scripts
        self._fence = fence
        self._marks = marks
        self._linked = asyncio.Event()
        self._asked: asyncio.Future[RedisState] | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._patience_seconds = patience_seconds
        self._retry_seconds = retry_seconds
        self._page_sessions = page_sessions

    @property
    def is_open(self) -> bool:
        """Whether events may get seqs."""
        return not self._scripts.is_shut

    def linked(self) -> None:
        """The link has a new connection to Redis: shut the scripts until this Redis process is checked."""
        # Before the answer no script may give a seq, and no command may write keys, which would hide an empty Redis.
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
                log.warning("fencing.impossible", reason=str(error), mend="allow INFO and GET")
                self._open()

    async def _check(self) -> None:
        asked, self._asked = self._asked or self._fence.ask(), None
        found = await asked
        if not found.is_checked:
            await self._compare(found)
        if not self._linked.is_set():
            self._open()

    async def _compare(self, found: RedisState) -> None:
        """Compare every session in Redis with its mark in Postgres, unless another gateway does that."""
        if found.is_empty:
            await self._fence.checked(found.run_id)
            return
        while not await self._fence.claim():
            await asyncio.sleep(POLL_SECONDS)
            if await self._fence.is_checked(found.run_id):
                return
        began_at = time.monotonic()
        compared = fenced = 0
        after: str | None = None
        while marks := await self._page(after):
            fenced += await self._fence.compare(marks)
            compared += len(marks)
            after = marks[-1].session_id
        await self._fence.checked(found.run_id)
        seconds = round(time.monotonic() - began_at, 3)
        log.info("fencing.compared", run_id=found.run_id, sessions=compared, fenced=fenced, seconds=seconds)

    async def _page(self, after: str | None) -> list[Mark]:
        while True:
            try:
                return await self._marks.page(after, self._page_sessions)
            except PersistenceError as error:
                log.warning("fencing.waits", reason=str(error))
                await asyncio.sleep(self._retry_seconds)

    def _shut(self) -> None:
        self._scripts.shut()
        self._cancel_timeout()
        self._patience = asyncio.get_running_loop().call_later(self._patience_seconds, self._check_timed_out)

    def _check_timed_out(self) -> None:
        log.warning("fencing.unchecked", seconds=self._patience_seconds)
        self._open()

    def _open(self) -> None:
        self._scripts.open()
        self._cancel_timeout()

    def _cancel_timeout(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
