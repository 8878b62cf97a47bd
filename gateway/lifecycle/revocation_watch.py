"""Keeps the gateway's revocations current: hears the control channel, and reads all after each interruption."""

import asyncio
import contextlib

import structlog

from broker.errors import BrokerError
from broker.pubsub.subscriber import Subscriber
from broker.redis.backoff import Backoff
from broker.redis.link import Link
from gateway.access.revocations import Revocations
from persistence.errors import PersistenceError

# As long as fencing waits for Postgres (gateway/lifecycle/fencing.py): then what Redis holds has to be enough.
PATIENCE_SECONDS = 5.0
RETRY_SECONDS = 0.5
LONGEST_RETRY_SECONDS = 10.0

log = structlog.get_logger()


class RevocationWatch:
    """Reads the revocations at the start and whenever one may have been missed; `run` is the task."""

    def __init__(
        self,
        link: Link,
        subscriber: Subscriber,
        revocations: Revocations,
        *,
        channel: bytes,
        patience_seconds: float = PATIENCE_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._link = link
        self._subscriber = subscriber
        self._revocations = revocations
        self._channel = channel
        self._patience_seconds = patience_seconds
        self._retry_seconds = retry_seconds
        self._is_due = asyncio.Event()

    def interrupted(self) -> None:
        """A revocation may have been missed, or Redis may have lost some: read all."""
        self._is_due.set()

    async def run(self, passed: asyncio.Event) -> None:
        """Subscribe, then read whenever it is due, until cancelled.

        Redis is asked once it is known that Redis belongs to this installation (`passed`). Until then, also while Redis
        is away, what Postgres has is known: history can be read with a token.
        """
        stored = asyncio.create_task(self._read_stored(), name="stored revocations")
        try:
            await passed.wait()
            await self._subscribe()
            self._is_due.set()
            while True:
                await self._is_due.wait()
                self._is_due.clear()
                await self._load()
        finally:
            stored.cancel()

    async def _read_stored(self) -> None:
        try:
            await self._revocations.load_stored()
        except PersistenceError as error:  # `_load` tries again
            log.warning("revocations.wait", reason=str(error))

    async def _subscribe(self) -> None:
        while True:
            await self._link.keeper.wait_up()
            with contextlib.suppress(BrokerError):
                await self._subscriber.subscribe(self._channel)
                return
            await asyncio.sleep(self._retry_seconds)

    async def _load(self) -> None:
        patience = asyncio.get_running_loop().call_later(self._patience_seconds, self._revocations.do_without_postgres)
        backoff = Backoff(self._retry_seconds, LONGEST_RETRY_SECONDS)
        try:
            while True:
                try:
                    return await self._revocations.load()
                except PersistenceError as error:
                    log.warning("revocations.wait", reason=str(error))
                    await asyncio.sleep(backoff.next_seconds())
        finally:
            patience.cancel()
