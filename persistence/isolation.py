"""Finds the bad items of a batch that is refused as a whole."""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, TypeVar

from persistence.errors import DataError

Item = TypeVar("Item")


class Refused(NamedTuple):
    """The place of an item that can't be written, and why."""

    place: int
    reason: str


async def write_all_but_bad(
    items: Sequence[Item], write: Callable[[Sequence[Item]], Awaitable[list[Refused]]]
) -> list[Refused]:
    """Write every item that can be written; returns the others, in order.

    `write` stores every item except those that it returns, or raises DataError and stores none; then each half is
    tried, in order. One bad item among n costs about 2·log2(n) more writes.
    """
    try:
        return await write(items)
    except DataError as error:
        if len(items) == 1:
            return [Refused(0, error.reason)]
    middle = len(items) // 2
    refused = await write_all_but_bad(items[:middle], write)
    later = await write_all_but_bad(items[middle:], write)
    return refused + [Refused(middle + place, reason) for place, reason in later]
