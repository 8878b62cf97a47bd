"""Marks inside the texts: each message has its number in its room and the time of sending; every socket checks both.

A mark reads `~0000042:123456789!`. One regular expression finds the marks in the bytes of a read, however the
server frames or joins its events, so the check costs the same for every server: about 1 µs.
"""

import re
import time
from typing import Final

TEXT_CHARACTERS: Final = 100
_LONGEST_BYTES: Final = 40
NUMBERS: Final = re.compile(rb"~(\d{7}):\d+!")
TIMES: Final = re.compile(rb"~(\d{7}):(\d+)!")
ACKS: Final = re.compile(rb'"type":"ack","id":(\d+)')
# The numbers that the sockets of a room must see, in this order; grows as needed.
_expected: list[bytes] = []


class CheckFailedError(Exception):
    """An event was lost, repeated or out of order, or a socket was closed: the run gives no result."""


def text(number: int) -> str:
    """The text of a message that is sent now."""
    mark = f"~{number:07}:{time.monotonic_ns()}!"
    return mark + "." * (TEXT_CHARACTERS - len(mark))


def unfinished(data: bytes) -> bytes:
    """The beginning of a mark that the next read may complete."""
    start = data.rfind(b"~", -_LONGEST_BYTES) if len(data) > _LONGEST_BYTES else data.rfind(b"~")
    return b"" if start < 0 or data.find(b"!", start) >= 0 else data[start:]


def check(found: list[bytes], position: int) -> int:
    """The position after these marks. Raises CheckFailedError unless they have exactly the next numbers."""
    after = position + len(found)
    while len(_expected) < after:
        _expected.append(b"%07d" % len(_expected))
    if found != _expected[position:after]:
        raise CheckFailedError(explain([int(mark) for mark in found], position))
    return after


def explain(found: list[int], position: int) -> str:
    """The error in these numbers, which should continue from `position`."""
    for expected, number in enumerate(found, position):
        if number < expected:
            return f"event {number} came again, or late: {expected} was next"
        if number > expected:
            return f"event {expected} was lost, or overtaken: {number} came instead"
    return "nothing is wrong"
