"""Subscriptions to session channels: a channel whose messages may have been missed is reported."""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial

from broker.errors import BrokerError, BrokerUnavailableError
from broker.redis.connection import Reply
from broker.redis.futures import ignore_result
from broker.redis.link import Link

Confirmation = asyncio.Future[Reply]

# How soon a channel that Redis refused is asked for again.
RETRY_SECONDS = 1.0
# How many channels are asked for at once after a break. Each then asks for what it missed, in up to four commands,
# which are answered before the next batch: other commands wait behind few, and the link's bound is never reached.
BATCH_CHANNELS = 256


class Subscriber:
    """The channels that one link listens to.

    The link hands the messages on by itself; the composition root lets the link call `resubscribe` for each new
    connection, and sets `on_resubscribed`: the channel is heard again after the connection broke, and what was
    published meanwhile must be fetched.
    """

    def __init__(
        self, link: Link, *, retry_seconds: float = RETRY_SECONDS, batch_channels: int = BATCH_CHANNELS
    ) -> None:
        self._link = link
        self._retry_seconds = retry_seconds
        self._batch_channels = batch_channels
        self.on_resubscribed: Callable[[bytes], None] = _nothing
        # What was asked for last, for each channel that is wanted; None: nothing yet on this connection.
        self._subscriptions: dict[bytes, Confirmation | None] = {}
        # The channels that a new connection has not asked for yet; another connection begins another queue.
        self._due: deque[bytes] = deque()

    async def subscribe(self, channel: bytes) -> None:
        """Return once every later message of the channel will be heard. Raises BrokerUnavailableError."""
        if not self._link.is_up:
            raise BrokerUnavailableError("Redis is not reachable")
        confirmation = self._subscriptions.get(channel)
        if self._is_due(channel):
            confirmation = self._ask_again(channel)  # before its turn
        elif confirmation is None:
            confirmation = self._ask(channel)
            confirmation.add_done_callback(partial(self._answered, channel))
        try:
            await asyncio.shield(confirmation)
        except BrokerUnavailableError:
            raise
        except BrokerError as error:  # not allowed, which is mended there
            raise BrokerUnavailableError(f"Redis refuses to work: {error}") from error

    def unsubscribe(self, channel: bytes) -> None:
        """Hear the channel no more."""
        if self._subscriptions.pop(channel, None) is not None and self._link.is_up:
            self._link.call("UNSUBSCRIBE", channel).add_done_callback(ignore_result)

    def _ask(self, channel: bytes) -> Confirmation:
        confirmation = self._subscriptions[channel] = self._link.call("SUBSCRIBE", channel)
        return confirmation

    def _answered(self, channel: bytes, confirmation: Confirmation) -> None:
        # Every waiting caller is told, and may ask again.
        if confirmation.exception() is not None and self._subscriptions.get(channel) is confirmation:
            del self._subscriptions[channel]

    def resubscribe(self) -> None:
        """There is a new connection: subscribe to every channel that is wanted, batch by batch."""
        self._subscriptions = dict.fromkeys(self._subscriptions)
        self._due = deque(self._subscriptions)
        self._ask_for_batch()

    def _ask_for_batch(self) -> None:
        asked: list[Confirmation] = []
        while self._due and len(asked) < self._batch_channels:
            channel = self._due.popleft()
            if self._is_due(channel):
                asked.append(self._ask_again(channel))
        if asked and self._due:
            asked[-1].add_done_callback(partial(self._batch_answered, self._due))

    def _is_due(self, channel: bytes) -> bool:
        """Whether the channel is wanted, and nothing was asked for it on this connection."""
        return channel in self._subscriptions and self._subscriptions[channel] is None

    def _batch_answered(self, due: deque[bytes], last: Confirmation) -> None:
        del last  # a refusal of one channel says nothing of the next ones
        if due is self._due and self._link.is_up:
            self._ask_for_batch()

    def _ask_again(self, channel: bytes) -> Confirmation:
        confirmation = self._ask(channel)
        confirmation.add_done_callback(partial(self._answered_again, channel))
        return confirmation

    def _answered_again(self, channel: bytes, confirmation: Confirmation) -> None:
        error = confirmation.exception()
        if self._subscriptions.get(channel) is not confirmation:
            return
        if error is None:
            self.on_resubscribed(channel)
        else:  # somebody relies on it: never forget it
            confirmation.get_loop().call_later(self._retry_seconds, self._retry, channel, confirmation)

    def _retry(self, channel: bytes, refused: Confirmation) -> None:
        if self._subscriptions.get(channel) is refused and self._link.is_up:
            self._ask_again(channel)


def _nothing(channel: bytes) -> None:
    """Nobody wants to know."""
