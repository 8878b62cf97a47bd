"""Futures whose outcome nobody needs."""

import asyncio
from typing import Any


def ignore_result(future: "asyncio.Future[Any]") -> None:
    """Done callback: retrieve the exception of a future that nobody awaits, so that asyncio does not log it."""
    if not future.cancelled():
        future.exception()
