"""A HAProxy process that listens."""

import asyncio
from pathlib import Path

from cluster.process.launch import Launch, start_async
from cluster.process.ports import is_listening

_SECONDS = 20.0


async def started(launch: Launch, log: Path, port: int) -> asyncio.subprocess.Process:
    """Start it; returns once it listens on this port of 127.0.0.1. The caller ends it."""
    process = await start_async(launch, log)
    async with asyncio.timeout(_SECONDS):
        while not await asyncio.to_thread(is_listening, "127.0.0.1", port):  # noqa: ASYNC110 - a process
            await asyncio.sleep(0.01)
    return process
