"""Gateways that are replaced, added and taken away while people talk: what an operator does every day."""

import asyncio

from tests.chaos.local import Local
from tests.chaos.person import Habits
from tests.chaos.stage import Scenario, Stage

RATE = 60.0


async def rolling_restart(stage: Stage[Local]) -> None:
    """`seance restart` in the middle of load: nobody is seen to leave."""
    await stage.crowd.admit(stage.pick(4, 2), 6)
    async with stage.crowd.talking(RATE):
        await stage.pass_time(0.5, 1.5)
        async with stage.fault("seance restart", "all gateways"):
            await stage.system.command("restart")
        await stage.pass_time(0.5, 1.5)


async def scaling(stage: Stage[Local]) -> None:
    """`seance scale` up and down again, gateways and workers, as the seed has it."""
    await stage.crowd.admit(stage.pick(4, 2), 6)
    usual = stage.system.gateways
    more, fewer = stage.random.randint(usual + 1, usual + 2), stage.random.randint(1, usual - 1)
    async with stage.crowd.talking(RATE):
        for gateways, workers in ((more, 1), (fewer, 2), (usual, 2))[stage.pick(0, 1) :]:
            await stage.pass_time(0.5, 1.5)
            async with stage.fault("seance scale", f"{gateways} gateways, {workers} workers"):
                await stage.system.command("scale", "--gateways", str(gateways), "--workers", str(workers))
        await stage.pass_time(0.5, 1.5)


async def avalanche(stage: Stage[Local]) -> None:
    """Every gateway is replaced under thousands of clients: all come back, spread over the window, unseen."""
    await stage.crowd.admit(stage.pick(150, 15), 20)
    async with stage.crowd.talking(stage.pick(20.0, 10.0)):
        await stage.pass_time(0.5, 1.5)
        async with stage.fault("seance restart", "all gateways"):
            await stage.system.command("restart")
        await asyncio.sleep(1)
    stage.demand("recovery_p99", 0, stage.system.drain_window_seconds + 1)


_PATIENT = Habits(patience=60.0, ping=60.0, guests=0)
SCENARIOS = [
    Scenario("rolling-restart", "`seance restart` under load", rolling_restart, house="cluster"),
    Scenario("scaling", "`seance scale` up and down under load", scaling, house="cluster"),
    Scenario(
        "avalanche",
        "3 000 clients, all gateways are replaced",
        avalanche,
        house="cluster",
        habits=_PATIENT,
        settle_seconds=90.0,
    ),
]
