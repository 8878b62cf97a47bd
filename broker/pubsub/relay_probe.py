"""The relay probe: one process publishes to itself on a channel of its own, the way that every event takes.

A PING proves nothing: a demoted primary answers it, so does a Redis with a full memory, and a dead subscription is
never asked.
"""

import asyncio

from broker.errors import BrokerError
from broker.pubsub.subscriber import Subscriber
from broker.redis.scripts import Scripts

KEPT_SECONDS = 60


class ProbeLostError(BrokerError):
    """A probe did not come back; the message says how far it came."""


class ProbeChannel:
    """The probes of one process on its own key, which is also the channel.

    The listener of the subscriber calls `heard` when `channel` brings something.
    """

    def __init__(self, scripts: Scripts, subscriber: Subscriber, *, key: str) -> None:
        self._key = key
        self.channel = self._key.encode()
        self._scripts = scripts
        self._subscriber = subscriber
        self._heard = asyncio.Event()

    def heard(self) -> None:
        """A probe came back."""
        self._heard.set()

    async def probe(self, number: int, timeout_seconds: float) -> None:
        """Publish a probe, and return once it was heard.

        Raises ProbeLostError when the time is over, and BrokerError when Redis can't be reached or refuses.
        """
        self._heard.clear()
        stage = "Redis does not confirm a subscription"
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._subscriber.subscribe(self.channel)
                stage = "Redis does not answer"
                await self._scripts.call("canary", (self._key,), number, KEPT_SECONDS)
                stage = "Redis answers, but what is published there is not heard here"
                await self._heard.wait()
        except TimeoutError as error:
            raise ProbeLostError(stage) from error
