"""Waiting for a condition with a generous deadline: `eventually` in an event loop, `until` outside of one."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

Result = TypeVar("Result")

# Long enough for a machine that is busy with something else; a test that passes never waits for so long.
DEADLINE_SECONDS = 60.0
_FIRST_PAUSE_SECONDS = 0.002
_LONGEST_PAUSE_SECONDS = 0.05


@overload
async def eventually(
    look: Callable[[], Awaitable[Result | None]], *, seconds: float = ..., what: str = ...
) -> Result: ...


@overload
async def eventually(look: Callable[[], Result | None], *, seconds: float = ..., what: str = ...) -> Result: ...


async def eventually(look: Callable[[], Any], *, seconds: float = DEADLINE_SECONDS, what: str = "the condition") -> Any:
    """Return the first true result of `look`, which may be a coroutine function.

    Raises:
        AssertionError: No result was true within the time.
    """
    found: Any = None
    pause = _FIRST_PAUSE_SECONDS
    try:
        async with asyncio.timeout(seconds) as deadline:
            while True:
                answer = look()
                found = await answer if inspect.isawaitable(answer) else answer
                if found:
                    return found
                await asyncio.sleep(pause)  # between two looks
                pause = min(1.5 * pause, _LONGEST_PAUSE_SECONDS)
    except TimeoutError:
        if not deadline.expired():
            raise
        raise AssertionError(_late(what, seconds, found)) from None


def until(
    look: Callable[[], Result | None], *, seconds: float = DEADLINE_SECONDS, what: str = "the condition"
) -> Result:
    """Return the first true result of `look`; blocks the thread.

    Raises:
        AssertionError: No result was true within the time.
    """
    deadline = time.monotonic() + seconds
    pause = _FIRST_PAUSE_SECONDS
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(_late(what, seconds, found))
        time.sleep(pause)
        pause = min(1.5 * pause, _LONGEST_PAUSE_SECONDS)
    return found


def _late(what: str, seconds: float, found: object) -> str:
    return f"{what} did not come true within {seconds:g} s; last seen: {found!r}"
