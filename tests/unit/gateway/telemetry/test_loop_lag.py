"""The lag of the event loop: what is remembered, and for how long."""

import asyncio
import time

from gateway.telemetry.loop_lag import RECENT_SECONDS, TICK_SECONDS, LoopLag


async def test_greatest_of_the_recent() -> None:
    """The greatest lag of the last five seconds counts, then the next smaller one that is still recent."""
    lag = LoopLag()
    now = asyncio.get_running_loop().time()
    assert lag.seconds == 0
    lag.late(now - RECENT_SECONDS - 1, 9)
    assert lag.seconds == 0
    for ago, seconds in ((4, 0.3), (3, 0.7), (2, 0.1), (1, 0.5)):
        lag.late(now - ago, seconds)
    assert lag.seconds == 0.7
    lag.late(now + RECENT_SECONDS - 2.5, 0.2)
    assert lag.seconds == 0.5


async def test_a_blocked_loop() -> None:
    """A loop that is blocked shows as soon as it runs on."""
    lag = LoopLag()
    task = asyncio.create_task(lag.run())
    await asyncio.sleep(0)
    time.sleep(TICK_SECONDS + 0.2)  # noqa: ASYNC251 - this is the fault
    async with asyncio.timeout(5):
        while lag.seconds < 0.2:  # noqa: ASYNC110 - the lag tells nobody
            await asyncio.sleep(0)
    task.cancel()
