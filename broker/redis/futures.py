"""Futures that nobody awaits."""

import asyncio
from typing import Any


def ignore_result(future: "asyncio.Future[Any]") -> None:
    """Done callback: take note of an exception that nobody else will ask for, so that asyncio does not log it."""
    if not future.cancelled():
        future.exception()
