"""The public jitter benchmark: bad mobile networks. Whatever was published reaches everybody in the end."""

import asyncio
from random import Random

from tests.chaos.person import Habits, Person
from tests.chaos.stack import Stack
from tests.chaos.stage import Scenario, Stage

OFFLINE_SECONDS = 2.0


async def jitter(stage: Stage[Stack]) -> None:
    """Every connection but the publisher's is cut again and again, and comes back 2 s later."""
    count, messages = stage.pick((1000, 120), (150, 24))
    every_seconds, rate = stage.pick((15.0, 2.0), (5.0, 4.0))
    await stage.crowd.admit(1, count + 1, presence="summary")
    publisher, *others = stage.crowd.visitors
    for one in stage.crowd.visitors:
        one.least_present = count + 1  # everybody is here now
    end = asyncio.get_running_loop().time() + messages / rate
    cuts = [
        asyncio.create_task(cut_often(stage, one, Random(stage.random.random()), every_seconds, end), name="jitter")  # noqa: S311 - repeatable, no secret
        for one in others
    ]
    for number in range(messages):
        await asyncio.sleep(max(0.0, end - (messages - number) / rate - asyncio.get_running_loop().time()))
        stage.crowd.say(publisher)
    await asyncio.gather(*cuts)
    stage.measured("least_present", min(one.least_present for one in stage.crowd.visitors))
    stage.demand("least_present", count + 1, count + 1)
    stage.demand("delivered_share", 1, 1)


async def cut_often(stage: Stage[Stack], person: Person, random: Random, every_seconds: float, end: float) -> None:
    """Cut this one's connection about so often, until then."""
    loop = asyncio.get_running_loop()
    at = loop.time() + random.uniform(0, every_seconds)
    while at < end:
        await asyncio.sleep(at - loop.time())
        stage.strike("TCP kill", f"client {person.number}")
        person.cut(offline_seconds=OFFLINE_SECONDS)
        at += every_seconds * random.uniform(0.75, 1.25)


SCENARIOS = [
    Scenario(
        "jitter",
        "1 000 clients, 120 messages at 2/s, each connection cut about every 15 s, 2 s offline",
        jitter,
        habits=Habits(patience=30.0, ping=30.0, guests=0),
        settle_seconds=60.0,
        is_direct=True,
    )
]
