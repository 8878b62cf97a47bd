"""Connections that are reset or go dead: client and gateway, gateway and Redis, worker and Postgres."""

import asyncio
from functools import partial

from tests.chaos.ledger import Severed
from tests.chaos.scenarios.kills import RATE, settle_in
from tests.chaos.stack import Stack
from tests.chaos.stage import UNBOUNDED, Scenario, Stage
from tests.proxy import Proxy

LATENCY_SECONDS = 0.03


def target_of(stage: Stage[Stack], link: str) -> tuple[str, Proxy]:
    """What lies between the two, and its name."""
    if link == "worker-postgres":
        return "workers to Postgres", stage.system.database
    node = stage.random.choice(stage.system.nodes)
    if link == "client-gateway":
        return f"clients to {node.name}", node.front
    return f"{node.name} to Redis", node.redis


async def reset(link: str, stage: Stage[Stack]) -> None:
    """Every connection there is broken with a RST, several times, while requests or answers are on their way."""
    await settle_in(stage)
    async with stage.crowd.talking(RATE):
        for _ in range(stage.pick(6, 4)):
            await stage.pass_time(0.5, 1.5)
            name, between = target_of(stage, link)
            between.latency_seconds = LATENCY_SECONDS
            await stage.burst(3 * LATENCY_SECONDS)
            count = between.reset()
            await between.heal()
            stage.strike("RST", f"{name} ({count} connections)")
        await stage.pass_time(1, 2)
    if link == "client-gateway":
        stage.demand("reconnects", 1, UNBOUNDED)


async def blackhole(link: str, stage: Stage[Stack]) -> None:
    """Nothing comes through and nothing is closed, for a while."""
    await settle_in(stage)
    async with stage.crowd.talking(RATE):
        await stage.pass_time(1, 2)
        name, between = target_of(stage, link)
        async with stage.fault("blackhole", name):
            await between.blackhole()
            await asyncio.sleep(stage.pick(8, 5) if link != "gateway-redis" else 5)
            await between.heal()
        await stage.pass_time(2, 3)


async def gateway_cut_off(stage: Stage[Stack]) -> None:
    """The same for longer than its lease: the gateway counts as dead, its users leave once, and come back with it."""
    await settle_in(stage)
    node = stage.random.choice(stage.system.nodes)
    async with stage.crowd.talking(RATE):
        await stage.pass_time(1, 2)
        began_at = stage.ledger.now()
        async with stage.fault("blackhole", f"{node.name} to Redis"):
            await node.redis.blackhole()
            await asyncio.sleep(stage.pick(15, 12))
            await node.redis.heal()
        for person in stage.crowd.visitors:
            if person.door == node.front.port:
                stage.ledger.add(Severed(began_at, person.number, round(stage.ledger.now() - began_at, 3)))
        await stage.pass_time(2, 3)


LINKS = ("client-gateway", "gateway-redis", "worker-postgres")
SCENARIOS = [
    *(Scenario(f"{link}-reset", f"TCP resets, {link.replace('-', ' to ')}", partial(reset, link)) for link in LINKS),
    *(
        Scenario(f"{link}-blackhole", f"no packet comes through, {link.replace('-', ' to ')}", partial(blackhole, link))
        for link in LINKS
    ),
    Scenario("gateway-cut-off", "a gateway can't reach Redis for longer than its lease", gateway_cut_off),
]
