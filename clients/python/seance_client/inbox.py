"""The events that wait for the application; when too many wait, the producer waits."""

import asyncio
from collections import deque

from seance_client.events import Event


class Inbox:
    """The runner puts events, the application takes them. From `limit` events on `room` waits."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._events: deque[Event] = deque()
        self._is_closed = False
        self._error: BaseException | None = None
        self._filled = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()

    def __len__(self) -> int:
        return len(self._events)

    @property
    def is_full(self) -> bool:
        """Whether `room` waits."""
        return not self._has_room.is_set()

    def put(self, event: Event) -> None:
        """Add an event; never waits, so the events of one frame may exceed the limit."""
        if self._is_closed:
            return
        self._events.append(event)
        self._filled.set()
        if len(self._events) >= self._limit:
            self._has_room.clear()

    async def room(self) -> None:
        """Return once there is room."""
        await self._has_room.wait()

    def close(self, error: BaseException | None) -> None:
        """No event follows: the application takes the remaining events, then gets `error`, or the iteration ends."""
        if not self._is_closed:
            self._is_closed, self._error = True, error
            self._filled.set()
            self._has_room.set()

    async def take(self) -> Event:
        """The next event. Raises StopAsyncIteration, or the error that ended the client."""
        while not self._events:
            if self._is_closed:
                raise self._error or StopAsyncIteration
            self._filled.clear()
            await self._filled.wait()
        event = self._events.popleft()
        if len(self._events) < self._limit:
            self._has_room.set()
        return event
