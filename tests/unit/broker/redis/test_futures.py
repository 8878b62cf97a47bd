"""Futures whose outcome nobody needs."""

import asyncio
import gc
from typing import Any

import pytest

from broker.redis.futures import ignore_result


@pytest.mark.parametrize("is_ignored", [True, False])
async def test_an_ignored_future_fails_in_silence(is_ignored: bool) -> None:
    """The loop hears of an exception that nobody retrieved, unless the future is ignored."""
    heard: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: heard.append(context))
    future: asyncio.Future[None] = loop.create_future()
    if is_ignored:
        future.add_done_callback(ignore_result)
    future.set_exception(RuntimeError("unheard"))
    await asyncio.sleep(0)  # the callback runs
    del future
    gc.collect()
    assert [str(context["exception"]) for context in heard] == ([] if is_ignored else ["unheard"])


async def test_an_ignored_future_may_be_cancelled() -> None:
    """A cancelled future has no exception to retrieve, and nothing is said."""
    heard: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: heard.append(context))
    future: asyncio.Future[None] = loop.create_future()
    future.add_done_callback(ignore_result)
    future.cancel()
    await asyncio.sleep(0)  # the callback runs
    assert heard == []
