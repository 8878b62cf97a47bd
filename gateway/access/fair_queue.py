"""A bounded queue that is fair by key: each key in turn gives one item. Pure."""

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class QueueFullError(Exception):
    """The key has as many items waiting as it may have. Nothing was queued."""


class FairQueue(Generic[T]):
    """Holds up to `per_key` items of one key, and `total` items in all.

    When the queue is full, a key with few items displaces the last item of the key with the most, so that nobody keeps
    others out by filling the queue.
    """

    def __init__(self, *, per_key: int, total: int) -> None:
        self._per_key = per_key
        self._total = total
        self._size = 0
        # Key → its items; the key whose turn is next comes first. Keys without items are not kept.
        self._waiting: OrderedDict[str, deque[T]] = OrderedDict()

    def __len__(self) -> int:
        return self._size

    def push(self, key: str, item: T) -> T | None:
        """Queue the item; returns an item that had to make room for it, if there is one. Raises QueueFullError."""
        count = len(self._waiting.get(key, ()))
        if count >= self._per_key:
            raise QueueFullError
        displaced = None
        if self._size >= self._total:
            longest = max(self._waiting, key=lambda other: len(self._waiting[other]))
            if len(self._waiting[longest]) <= count + 1:
                raise QueueFullError
            displaced = self._waiting[longest].pop()
            self._size -= 1
        self._waiting.setdefault(key, deque()).append(item)
        self._size += 1
        return displaced

    def pop(self) -> T | None:
        """Take the next item; None when the queue is empty."""
        if not self._waiting:
            return None
        key, items = self._waiting.popitem(last=False)
        item = items.popleft()
        self._size -= 1
        if items:
            self._waiting[key] = items  # at the end: the others have their turns first
        return item

    def drain(self) -> Iterator[T]:
        """Take all items."""
        while self._waiting:
            _, items = self._waiting.popitem()
            self._size -= len(items)
            yield from items
