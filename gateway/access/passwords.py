"""Session passwords: hashed and verified in threads, in bounded queues that are fair by session and by client."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Generic, NamedTuple, ParamSpec, TypeVar

from gateway.access.fair_queue import FairQueue, QueueFullError
from gateway.access.password_hashes import get_password_hash, verify_password

P = ParamSpec("P")
T = TypeVar("T")

# A hash takes 15 ms, and a join has 10 s: what waits behind more than 512 would be too late anyway. A session's burst
# of attempts (LIMIT_ATTEMPTS_SESSION) fits in its share.
WAITING = 512
WAITING_EACH = 128


class PasswordsBusyError(Exception):
    """Too many passwords of this session or client wait. Nothing was done; retry later."""


class Passwords:
    """One thread verifies, another one hashes: many new sessions keep nobody from joining, nor the other way round.

    One thread each, because each computes in 19 MiB, and the event loop needs a core, too.
    """

    def __init__(
        self, *, per_session: int = WAITING_EACH, per_client: int = WAITING_EACH, total: int = WAITING
    ) -> None:
        self._verifying = _Lane[bool]("verify", FairQueue(per_key=per_session, total=total))
        self._hashing = _Lane[str]("hash", FairQueue(per_key=per_client, total=total))

    async def hash(self, password: str, *, client: str) -> str:
        """Like `get_password_hash`; the clients' requests take turns. Raises PasswordsBusyError."""
        return await self._hashing.run(client, get_password_hash, password)

    async def verify(self, password: str, password_hash: str, *, session_id: str) -> bool:
        """Like `verify_password`; the sessions take turns. Raises PasswordHashError, PasswordsBusyError."""
        return await self._verifying.run(session_id, verify_password, password, password_hash)

    def close(self) -> None:
        """Cancel the waiting calls, and end the threads."""
        self._verifying.close()
        self._hashing.close()


class _Job(NamedTuple, Generic[T]):
    answer: asyncio.Future[T]
    compute: Callable[[], T]


class _Lane(Generic[T]):
    """A thread and its queue."""

    def __init__(self, name: str, queue: "FairQueue[_Job[T]]") -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"passwords-{name}")
        self._queue = queue
        self._is_busy = False

    async def run(self, key: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function in the thread when it is the key's turn. Raises PasswordsBusyError."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        try:
            displaced = self._queue.push(key, _Job(answer, partial(function, *args, **kwargs)))
        except QueueFullError as error:
            raise _busy() from error
        if displaced is not None and not displaced.answer.done():
            displaced.answer.set_exception(_busy())
        self._start_next()
        return await answer

    def close(self) -> None:
        self._is_busy = True  # nothing is started any more
        for job in self._queue.drain():
            job.answer.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _start_next(self) -> None:
        while not self._is_busy and (job := self._queue.pop()) is not None:
            if job.answer.done():  # its client is gone
                continue
            self._is_busy = True
            running = asyncio.get_running_loop().run_in_executor(self._pool, job.compute)
            running.add_done_callback(partial(self._finished, job.answer))

    def _finished(self, answer: "asyncio.Future[T]", running: "asyncio.Future[Any]") -> None:
        error = None if running.cancelled() else running.exception()
        if not answer.done():
            if running.cancelled():
                answer.cancel()
            elif error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(running.result())
        self._is_busy = False
        self._start_next()


def _busy() -> PasswordsBusyError:
    return PasswordsBusyError("too many passwords wait to be checked")
