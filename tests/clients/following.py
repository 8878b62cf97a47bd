"""Reading what a client tells, with a deadline."""

import asyncio
from typing import TypeVar

from seance_client import Client, Event, MessageReceived, Policy

DEADLINE_SECONDS = 30.0
# Short waits, so that tests are; the first attempt after a loss comes almost at once.
QUICK = Policy(backoff_base=0.05, backoff_cap=0.5, open_timeout=5, join_timeout=5, leave_timeout=2)

Kind = TypeVar("Kind")


async def next_of(client: Client, kind: type[Kind]) -> Kind:
    """The next event of this kind; others are passed over."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        async for event in client:
            if isinstance(event, kind):
                return event
    raise AssertionError(f"the events ended before {kind.__name__} came")


async def messages(client: Client, count: int) -> list[str]:
    """The texts of the next messages."""
    return [(await next_of(client, MessageReceived)).text for _ in range(count)]


async def until_end(client: Client) -> list[Event]:
    """Every event until the end. Raises what the client raises at the end."""
    events: list[Event] = []
    async with asyncio.timeout(DEADLINE_SECONDS):
        async for event in client:
            events.append(event)  # noqa: PERF401 - what came before an error would be lost
    return events
