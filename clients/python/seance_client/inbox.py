"""The events that wait for the application; when there are too many, whoever fills it waits."""

import asyncio
from collections import deque

from seance_client.events import Event


class Inbox:
    """One side puts, the other takes. `limit` events are enough to make `room` wait."""

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
        """One more event; never waits, so the limit may be passed by what one frame holds."""
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
        """Nothing more comes: what is there can still be taken, then `error` is raised, or the iteration ends."""
        if not self._is_closed:
            self._is_closed, self._error = True, error
            self._filled.set()
            self._has_room.set()

    async def take(self) -> Event:
        """The next event. Raises StopAsyncIteration, or the error that was the end."""
        while not self._events:
            if self._is_closed:
                raise self._error or StopAsyncIteration
            self._filled.clear()
            await self._filled.wait()
        event = self._events.popleft()
        if len(self._events) < self._limit:
            self._has_room.set()
        return event
