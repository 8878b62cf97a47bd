"""Gateway leases: a gateway that wakes up while its seats are being freed, and a clock of Redis that steps."""

import asyncio
import signal

from redis.asyncio import Redis

from broker.events import instant
from broker.redis.scripts import Script
from broker.sessions.gateway_leases import LEASE_MS
from tests.chaos.ledger import Severed
from tests.chaos.person import Habits
from tests.chaos.scenarios.kills import RATE, settle_in
from tests.chaos.stack import Stack
from tests.chaos.stage import UNBOUNDED, Scenario, Stage

_REAPER = "reaper-that-dies"
_STEPS_SECONDS = (6, 10, 3600)
# What a step of the clock does to everything that Redis keeps by the clock: gateway leases, grace times and the
# presence of workers as times in sorted sets, the workers' leases as expiring keys.
_STEP = """
for _, key in ipairs(redis.call('KEYS', '*')) do
  if string.find(key, ':gateways$') or string.find(key, ':away$') or string.find(key, ':workers$') then
    for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
      redis.call('ZINCRBY', key, -ARGV[1], member)
    end
  elseif string.find(key, ':owner$') then
    redis.call('PEXPIRE', key, redis.call('PTTL', key) - ARGV[1])
  end
end
"""


async def lease_revived(stage: Stage[Stack]) -> None:
    """A gateway wakes up while its seats are being freed: it must find that its lease is gone.

    The moment is simulated, because it lasts less than a millisecond: all gateways are stopped for longer than a
    lease, a reaper that is no gateway frees one seat of each partition and never goes on, and one gateway wakes up
    first. Nobody speaks then, because a message would show that its user has no seat.
    """
    await settle_in(stage)
    async with stage.crowd.talking(RATE):
        await stage.pass_time(1, 2)
    present = stage.crowd.present()
    await stage.crowd.until(lambda: not any(one.unacked for one in present), "the last ack", 20)
    began_at = stage.ledger.now()
    stage.strike("SIGSTOP", "all gateways")
    for node in stage.system.nodes:
        node.gateway.signal(signal.SIGSTOP)
    await asyncio.sleep(LEASE_MS / 1000 + 1)
    stage.measured("seats_freed", await _reap_one_of_each(stage.system))
    for node in stage.random.sample(stage.system.nodes, len(stage.system.nodes)):
        node.gateway.signal(signal.SIGCONT)
        await stage.pass_time(0.2, 1)
    for person in present:
        stage.ledger.add(Severed(began_at, person.number, round(stage.ledger.now() - began_at, 3)))
    await stage.pass_time(4, 5)
    stage.demand("seats_freed", 1, UNBOUNDED)
    stage.demand("reconnects", 1, UNBOUNDED)


async def clock_steps(stage: Stage[Stack]) -> None:
    """The clock of Redis steps ahead: nobody is seen to leave, and no socket is closed.

    No clock is moved, which needs privileges that a test should not have: instead, in one script, everything that
    Redis keeps by the clock and that leases rest upon is moved back by as much. Keys that merely expire (idempotency
    keys, the hot state of empty sessions) are left alone.
    """
    await settle_in(stage)
    async with stage.crowd.talking(RATE):
        for _ in range(stage.pick(3, 2)):
            await stage.pass_time(2, 5)
            seconds = stage.random.choice(_STEPS_SECONDS)
            await stage.burst()
            async with Redis.from_url(stage.system.redis.url) as redis:
                await redis.eval(_STEP, 0, str(seconds * 1000))
            stage.strike("step of the clock", f"redis (+{seconds} s)")
        await asyncio.sleep(stage.pick(LEASE_MS / 1000 + 3, 3))  # until the gateways reap again
    stage.demand("reconnects", 0, 0)


async def _reap_one_of_each(system: Stack) -> int:
    """Free at most one seat of each partition; returns how many seats were freed."""
    renew, reap = Script("renew_gateway").source, Script("reap").source
    async with Redis.from_url(system.redis.url, decode_responses=True) as redis:
        freed = 0
        async for key in redis.scan_iter(match="*:gateways"):
            part = key.removesuffix("gateways")
            await redis.eval(renew, 1, part, _REAPER, "1", str(LEASE_MS), "1")
            freed += await redis.eval(reap, 1, part, instant(), "1", _REAPER, "1", "0")
            await redis.zrem(key, _REAPER)
    return freed


_PATIENT = Habits(patience=60.0, ping=60.0, guests=0)
SCENARIOS = [
    Scenario(
        "lease-revived",
        "all gateways sleep, and wake up while their seats are being freed",
        lease_revived,
        habits=_PATIENT,
    ),
    Scenario("clock-steps", "the clock of Redis steps ahead by up to an hour", clock_steps),
]
