"""The messages that wait for their acknowledgement, over any number of connections. Pure."""

import math

import msgspec

from seance_client.events import Level
from seance_client.wire import Message

# How long messages go one at a time after the gateway refused one because of a rate.
_LIMITED_SECONDS = 10.0


class Pending(msgspec.Struct):
    """A message that waits for its acknowledgement."""

    command: Message
    first_sent_at: float | None = None
    """When it was first written to a connection; from then on it may have been stored."""
    epoch: str | None = None
    """The epoch in which that was."""
    is_in_flight: bool = False


class Outbox:
    """Keeps the order of the calls; `key_seconds` is the time during which a repetition is safe."""

    def __init__(self, key_seconds: float) -> None:
        self._key_seconds = key_seconds
        self._waiting: dict[int, Pending] = {}
        # After a refusal that allows a retry all messages wait, so that none overtakes another.
        self._held_until: float | None = None
        # Until then messages go one at a time.
        self._limited_until = -math.inf

    def __contains__(self, command_id: int) -> bool:
        return command_id in self._waiting

    def add(self, command_id: int, text: str, key: str, level: Level) -> None:
        """A message to send."""
        self._waiting[command_id] = Pending(Message(command_id, text, key, level))

    def take(self, command_id: int) -> Pending | None:
        """Remove and return the message."""
        return self._waiting.pop(command_id, None)

    def take_all(self) -> list[int]:
        """Remove all messages; returns their ids."""
        found = list(self._waiting)
        self._waiting.clear()
        return found

    def due(self, now: float, epoch: str) -> list[Message]:
        """The frames to write to the connection now, in the order of the calls."""
        if self._held_until is not None and now < self._held_until:
            return []
        self._held_until = None
        ready = [pending for pending in self._waiting.values() if not pending.is_in_flight]
        if now < self._limited_until:
            # One at a time, so that the gateway takes no later message before one that it refuses.
            ready = ready[:1] if len(ready) == len(self._waiting) else []
        for pending in ready:
            pending.is_in_flight = True
            if pending.first_sent_at is None:
                pending.first_sent_at, pending.epoch = now, epoch
        return [pending.command for pending in ready]

    def take_unsafe(self, now: float, epoch: str) -> list[int]:
        """Remove and return the messages that may be stored and whose repetition could be stored a second time."""
        unsafe = [
            command_id
            for command_id, pending in self._waiting.items()
            if not pending.is_in_flight
            and pending.first_sent_at is not None
            and (pending.epoch != epoch or now - pending.first_sent_at > self._key_seconds)
        ]
        for command_id in unsafe:
            del self._waiting[command_id]
        return unsafe

    def hold(self, command_id: int, until: float) -> None:
        """The gateway could not take this message now; all messages wait until that time."""
        self._waiting[command_id].is_in_flight = False
        self._held_until = max(until, self._held_until or until)

    def limit(self, command_id: int, until: float) -> None:
        """The gateway refused this message because of a rate; all wait, and for some seconds go one at a time."""
        self.hold(command_id, until)
        self._limited_until = max(self._limited_until, until + _LIMITED_SECONDS)

    def disconnected(self) -> None:
        """The connection is lost: commands under way may be lost too."""
        self._held_until = None
        for pending in self._waiting.values():
            pending.is_in_flight = False

    @property
    def held_until(self) -> float | None:
        """When the next message may be sent; None: at any time, or after an answer."""
        return self._held_until
