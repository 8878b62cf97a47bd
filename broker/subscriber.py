"""The one reader of a gateway: subscriptions to session channels over one connection, every message to one callback."""

import asyncio
from typing import Protocol

import hiredis
import msgspec
import structlog

from broker.errors import BrokerUnavailableError
from broker.keeper import Keeper
from broker.wire import Reply, Wire

RESUBSCRIBE_AT_ONCE = 500

log = structlog.get_logger()


class Listener(Protocol):
    """Who hears the messages."""

    def heard(self, channel: bytes, payload: bytes) -> None:
        """A message arrived."""

    def resubscribed(self, channel: bytes) -> None:
        """The channel is heard again after the connection broke: what was published meanwhile must be fetched."""


class _Subscription(msgspec.Struct):
    """`awaited` counts the confirmations under way: subscribed, dropped and subscribed again before the first came."""

    awaited: int = 0
    confirmed: asyncio.Future[None] | None = None
    is_again: bool = False


class Subscriber:
    """Subscriptions; `keeper.run` must be running."""

    def __init__(self, url: str, *, timeout_seconds: float = 5.0, name: str = "seance-subscriber") -> None:
        self.keeper = Keeper(url, self, timeout_seconds=timeout_seconds, name=name)
        self.listener: Listener | None = None
        self._wire: Wire | None = None
        self._subscriptions: dict[bytes, _Subscription] = {}

    @property
    def is_up(self) -> bool:
        """Whether Redis can be heard as far as is known."""
        return self._wire is not None

    async def subscribe(self, channel: bytes) -> None:
        """Return once every later message of the channel will be heard. Raises BrokerUnavailableError."""
        if self._wire is None:
            raise BrokerUnavailableError("Redis is not reachable")
        subscription = self._subscriptions.setdefault(channel, _Subscription())
        if subscription.confirmed is None:
            subscription.confirmed = asyncio.get_running_loop().create_future()
            subscription.awaited += 1
            self._wire.send("SUBSCRIBE", channel)
        await asyncio.shield(subscription.confirmed)

    def unsubscribe(self, channel: bytes) -> None:
        """Hear the channel no more."""
        subscription = self._subscriptions.get(channel)
        if subscription is None:
            return
        subscription.confirmed = None
        if not subscription.awaited:
            del self._subscriptions[channel]
        if self._wire is not None:
            self._wire.send("UNSUBSCRIBE", channel)

    def up(self, wire: Wire) -> None:
        """Handler: ask for everything that was heard before."""
        self._wire = wire
        channels = list(self._subscriptions)
        for start in range(0, len(channels), RESUBSCRIBE_AT_ONCE):
            wire.send("SUBSCRIBE", *channels[start : start + RESUBSCRIBE_AT_ONCE])
        for subscription in self._subscriptions.values():
            subscription.awaited = 1
            subscription.is_again = True

    def down(self) -> None:
        """Handler: fail whoever waits; what is confirmed will be asked for again."""
        self._wire = None
        for channel, subscription in list(self._subscriptions.items()):
            subscription.awaited = 0
            waiting = subscription.confirmed
            if waiting is None:
                del self._subscriptions[channel]
            elif not waiting.done():
                self._fail(channel, waiting, BrokerUnavailableError("the connection to Redis broke"))

    def reply(self, reply: Reply) -> None:
        """Handler: a message, a confirmation, or a pong."""
        match reply:
            case [b"message", channel, payload]:
                assert self.listener is not None
                self.listener.heard(channel, payload)
            case [b"subscribe", channel, _]:
                self._confirmed(channel)
            case hiredis.ReplyError():
                self._refused(str(reply))
            case _:  # unsubscribed, or a pong: only the silence would have meant something
                pass

    def _refused(self, reply: str) -> None:
        # It does not say which channel was meant, so everyone who waits is refused.
        log.error("subscription.refused", reason=reply)
        for channel, subscription in list(self._subscriptions.items()):
            if subscription.confirmed is not None and not subscription.confirmed.done():
                self._fail(channel, subscription.confirmed, BrokerUnavailableError(f"Redis refuses to work: {reply}"))

    def _fail(self, channel: bytes, waiting: "asyncio.Future[None]", error: BrokerUnavailableError) -> None:
        waiting.set_exception(error)
        waiting.exception()  # there may be nobody waiting
        del self._subscriptions[channel]

    def _confirmed(self, channel: bytes) -> None:
        subscription = self._subscriptions.get(channel)
        if subscription is None:
            return
        subscription.awaited -= 1
        if subscription.awaited > 0:
            return
        if subscription.confirmed is None:
            del self._subscriptions[channel]
            return
        if not subscription.confirmed.done():
            subscription.confirmed.set_result(None)
        if subscription.is_again:
            subscription.is_again = False
            assert self.listener is not None
            self.listener.resubscribed(channel)

    def ping(self, wire: Wire) -> None:
        """Handler: PING is allowed while subscribed."""
        wire.send("PING")
