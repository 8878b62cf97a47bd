"""Processes that are killed with -9, or stopped for a while, in the middle of load."""

import asyncio
import signal
from functools import partial

from tests.chaos.servers import Server
from tests.chaos.stack import Node, Stack, kill
from tests.chaos.stage import UNBOUNDED, Scenario, Stage
from tests.gateways import Process

RATE = 60.0
LEAVE_SECONDS = 15.0
TAKE_OVER_SECONDS = 20.0


async def settle_in(stage: Stage[Stack]) -> None:
    """Some sessions over all gateways."""
    await stage.crowd.admit(stage.pick(4, 2), 6)


async def gateway_killed(stage: Stage[Stack]) -> None:
    """Half of its users come back elsewhere, unseen; the others leave within 15 s, once each."""
    await settle_in(stage)
    node = stage.random.choice(stage.system.nodes)
    async with stage.crowd.talking(RATE):
        await stage.pass_time(1, 2)
        lost = [one for one in stage.crowd.visitors if one.door == node.front.port][::2]
        for visitor in lost:
            visitor.stays_away = True
        async with stage.fault("kill -9", node.name):
            await kill(node.gateway)
            await stage.crowd.until(lambda: all(one.is_gone for one in lost), "the end of its clients", 10)
            await stage.pass_time(1, 2)
            node.gateway.start()
            await stage.system.wait_ready()
        others = [one for one in stage.crowd.present() if any(one.session == each.session for each in lost)]
        gone = {one.user for one in lost}
        await stage.crowd.until(lambda: not any(one.users & gone for one in others), "their departure", 25)
    stage.demand("leave_seconds", 0, LEAVE_SECONDS)
    stage.demand("reconnects", 1, UNBOUNDED)


async def worker_killed(stage: Stage[Stack]) -> None:
    """The other worker takes over what it had read; it is started again and takes its part back."""
    await settle_in(stage)
    worker = stage.random.choice(stage.system.workers)
    async with stage.crowd.talking(RATE):
        for _ in range(stage.pick(2, 1)):
            await stage.pass_time(0.5, 1.5)
            async with stage.fault("kill -9", worker.name):
                await kill(worker)
                await stage.pass_time(2, 4)
                worker.start()
        await stage.pass_time(1, 2)


async def taker_killed(stage: Stage[Stack]) -> None:
    """A worker is killed, and then the other one while it takes over."""
    await settle_in(stage)
    first, second = stage.random.sample(stage.system.workers, 2)
    async with stage.crowd.talking(RATE):
        await stage.pass_time(0.5, 1.5)
        async with stage.fault("kill -9", first.name):
            await kill(first)
            await until_taken(second)
            async with stage.fault("kill -9", second.name):
                await kill(second)
                await stage.pass_time(0.5, 1.5)
                first.start()
            second.start()
        await stage.pass_time(1, 2)


async def until_taken(worker: Process) -> None:
    """Return as soon as the worker says that it has taken partitions over."""
    before = worker.log.read_text().count("partitions_changed")
    async with asyncio.timeout(TAKE_OVER_SECONDS):
        while worker.log.read_text().count("partitions_changed") == before:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.01)


def server_of(stage: Stage[Stack], name: str) -> Server:
    """The server of this name."""
    return stage.system.redis if name == "redis" else stage.system.postgres


async def server_killed(name: str, stage: Stage[Stack]) -> None:
    """It is started again with its data."""
    await settle_in(stage)
    server = server_of(stage, name)
    async with stage.crowd.talking(RATE):
        for _ in range(stage.pick(2, 1)):
            await stage.pass_time(1, 2)
            async with stage.fault("kill -9", name):
                await server.kill()
                await stage.pass_time(0.2, 2)
                await server.start()
        await stage.pass_time(2, 3)


async def server_stopped(name: str, stage: Stage[Stack]) -> None:
    """It answers nothing and closes nothing, for 20 s."""
    await settle_in(stage)
    server, seconds = server_of(stage, name), stage.pick(20, 5)
    async with stage.crowd.talking(RATE):
        await stage.pass_time(1, 2)
        async with stage.fault("SIGSTOP", name):
            server.stop()
            await asyncio.sleep(seconds)
            server.go_on()
        await stage.pass_time(2, 3)
    if name == "redis":  # every sender had to wait
        stage.demand("acknowledged_most", 0.8 * seconds, UNBOUNDED)


async def process_stopped(kind: str, stage: Stage[Stack]) -> None:
    """The same for a gateway, whose lease ends meanwhile, and a worker, whose partitions are taken over."""
    await settle_in(stage)
    node: Node = stage.random.choice(stage.system.nodes)
    process = node.gateway if kind == "gateway" else stage.random.choice(stage.system.workers)
    async with stage.crowd.talking(RATE):
        await stage.pass_time(1, 2)
        async with stage.fault("SIGSTOP", process.name):
            process.signal(signal.SIGSTOP)
            await asyncio.sleep(stage.pick(20, 12))
            process.signal(signal.SIGCONT)
        await stage.pass_time(2, 3)
    if kind == "gateway":
        stage.demand("reconnects", 1, UNBOUNDED)


OF_PROCESSES = [
    Scenario("gateway-killed", "kill -9 of a gateway; half of its users come back elsewhere", gateway_killed),
    Scenario("worker-killed", "kill -9 of a worker", worker_killed),
    Scenario("taker-killed", "kill -9 of a worker, and of the other while it takes over", taker_killed),
    Scenario("gateway-stopped", "SIGSTOP of a gateway for 20 s", partial(process_stopped, "gateway")),
    Scenario("worker-stopped", "SIGSTOP of a worker for 20 s", partial(process_stopped, "worker")),
]
OF_SERVERS = [
    Scenario("redis-killed", "kill -9 of Redis, started again with its data", partial(server_killed, "redis")),
    Scenario("postgres-killed", "kill -9 of Postgres and all its processes", partial(server_killed, "postgres")),
    Scenario("redis-stopped", "SIGSTOP of Redis for 20 s", partial(server_stopped, "redis")),
    Scenario("postgres-stopped", "SIGSTOP of Postgres for 20 s", partial(server_stopped, "postgres")),
]
