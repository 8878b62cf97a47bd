"""Waiting for conditions with a deadline, instead of sleeping."""

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

_INTERVAL_SECONDS = 0.05


def until(look: Callable[[], Result | None], *, timeout_seconds: float = 60, what: str = "the condition") -> Result:
    """The first result of `look` that is true. Raises AssertionError when the time is over."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {timeout_seconds:g} s; last seen: {found!r}")
        time.sleep(_INTERVAL_SECONDS)
