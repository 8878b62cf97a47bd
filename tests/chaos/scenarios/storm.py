"""Everything at once: faults of every kind one upon the other, as the seed has them."""

import asyncio
import signal
from collections.abc import Awaitable, Callable

from tests.chaos.scenarios.kills import RATE
from tests.chaos.stack import Stack, kill
from tests.chaos.stage import Scenario, Stage

# After a fault at the way to Redis, so long until the next: gateways renew their leases every 3 s, for 10 s.
_LEASE_PAUSE_SECONDS = 4.0
_LONGEST_SECONDS = 4.0

Disturbance = Callable[[Stage[Stack]], Awaitable[None]]


async def storm(stage: Stage[Stack]) -> None:
    """One fault after the other, and often two at a time, but never two at the same target."""
    await stage.crowd.admit(stage.pick(4, 2), 6)
    locks = {target: asyncio.Lock() for target in set(_TARGETS.values())}
    async with stage.crowd.talking(RATE), asyncio.TaskGroup() as group:
        for number in range(stage.pick(20, 6)):
            await stage.pass_time(0.3, 2)
            disturb = stage.random.choice(list(_TARGETS))
            group.create_task(_alone(disturb, stage, locks[_TARGETS[disturb]]), name=f"chaos fault {number}")
    await stage.pass_time(1, 2)


async def _alone(disturb: Disturbance, stage: Stage[Stack], lock: asyncio.Lock) -> None:
    async with lock:
        await disturb(stage)


async def kill_gateway(stage: Stage[Stack]) -> None:
    """One gateway is killed, and started again a little later."""
    node = stage.random.choice(stage.system.nodes)
    async with stage.fault("kill -9", node.name):
        await kill(node.gateway)
        await stage.pass_time(0.1, 1)
        node.gateway.start()
        await stage.system.wait_ready()


async def stop_gateway(stage: Stage[Stack]) -> None:
    """One gateway stands still for less than its lease."""
    node = stage.random.choice(stage.system.nodes)
    async with stage.fault("SIGSTOP", node.name):
        node.gateway.signal(signal.SIGSTOP)
        await stage.pass_time(0.5, _LONGEST_SECONDS)
        node.gateway.signal(signal.SIGCONT)


async def kill_worker(stage: Stage[Stack]) -> None:
    """One worker is killed, and started again a little later."""
    worker = stage.random.choice(stage.system.workers)
    async with stage.fault("kill -9", worker.name):
        await kill(worker)
        await stage.pass_time(0.1, 3)
        worker.start()


async def kill_postgres(stage: Stage[Stack]) -> None:
    """Postgres is killed, and started again a little later."""
    async with stage.fault("kill -9", "postgres"):
        await stage.system.postgres.kill()
        await stage.pass_time(0.1, _LONGEST_SECONDS)
        await stage.system.postgres.start()


async def kill_redis(stage: Stage[Stack]) -> None:
    """Redis is killed, and started again at once."""
    async with stage.fault("kill -9", "redis"):
        await stage.system.redis.kill()
        await stage.pass_time(0.1, 0.5)
        await stage.system.redis.start()
    await asyncio.sleep(_LEASE_PAUSE_SECONDS)


async def stop_redis(stage: Stage[Stack]) -> None:
    """Redis stands still for a moment."""
    async with stage.fault("SIGSTOP", "redis"):
        stage.system.redis.stop()
        await stage.pass_time(0.2, _LONGEST_SECONDS)
        stage.system.redis.go_on()
    await asyncio.sleep(_LEASE_PAUSE_SECONDS)


async def reset_redis(stage: Stage[Stack]) -> None:
    """A gateway's connections to Redis break."""
    node = stage.random.choice(stage.system.nodes)
    stage.strike("RST", f"{node.name} to Redis ({node.redis.reset()} connections)")


async def reset_clients(stage: Stage[Stack]) -> None:
    """All connections of a gateway's clients break."""
    node = stage.random.choice(stage.system.nodes)
    stage.strike("RST", f"clients to {node.name} ({node.front.reset()} connections)")


async def lose_packets(stage: Stage[Stack]) -> None:
    """Nothing comes through between a gateway and its clients."""
    node = stage.random.choice(stage.system.nodes)
    async with stage.fault("blackhole", f"clients to {node.name}"):
        await node.front.blackhole()
        await stage.pass_time(0.5, _LONGEST_SECONDS)
        await node.front.heal()


async def reset_database(stage: Stage[Stack]) -> None:
    """The workers' connections to Postgres break."""
    stage.strike("RST", f"workers to Postgres ({stage.system.database.reset()} connections)")


# What each may not be done to while another one is.
_TARGETS: dict[Disturbance, str] = {
    kill_gateway: "gateways",
    stop_gateway: "gateways",
    kill_worker: "workers",
    kill_postgres: "postgres",
    kill_redis: "redis",
    stop_redis: "redis",
    reset_redis: "redis",
    reset_clients: "clients",
    lose_packets: "clients",
    reset_database: "database",
}
SCENARIOS = [
    Scenario("storm", "faults of every kind, one upon the other, as the seed has them", storm, settle_seconds=60.0)
]
