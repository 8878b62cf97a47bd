"""The lag of the event loop: its greatest value in the last seconds."""

import asyncio

import pytest

from gateway.telemetry.loop_lag import RECENT_SECONDS, TICK_SECONDS, LoopLag
from tests.virtual_time import VirtualTimeLoop, run


def test_the_greatest_lag_of_the_last_seconds_counts() -> None:
    """The greatest lag of the last five seconds counts, then the greatest of the more recent ones."""

    async def seen() -> list[float]:
        lag = LoopLag()
        now = asyncio.get_running_loop().time()
        found = [lag.seconds]
        lag.late(now - RECENT_SECONDS - 1, 9)
        found.append(lag.seconds)
        for ago, seconds in ((4, 0.3), (3, 0.7), (2, 0.1), (1, 0.5)):
            lag.late(now - ago, seconds)
        found.append(lag.seconds)
        lag.late(now + RECENT_SECONDS - 2.5, 0.2)
        found.append(lag.seconds)
        return found

    assert run(seen()) == [0, 0, 0.7, 0.5]


def test_a_blocked_loop_is_seen_once_it_runs_on() -> None:
    """A callback that blocks the loop shows as lag in the next measurement."""

    async def seen() -> float:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        lag = LoopLag()
        task = asyncio.create_task(lag.run())
        await asyncio.sleep(0)
        loop.pass_time(TICK_SECONDS + 0.75)  # as if a callback took so long
        await asyncio.sleep(0.01)
        task.cancel()
        return lag.seconds

    assert run(seen()) == pytest.approx(0.75)
