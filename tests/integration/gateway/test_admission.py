"""Admission on a real Redis: what happens to a join whose gateway loses its lease meanwhile."""

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from broker.events import User
from broker.sessions.event_log import EventLog
from broker.sessions.gateway_leases import GatewayLeases
from gateway.access.admission import Admission, Identified, RefusedError
from gateway.access.attempts import Attempts
from gateway.access.directory import Directory
from gateway.access.hashed_addresses import HashedAddresses
from gateway.access.passwords import Passwords
from gateway.access.tokens import Tokens
from gateway.protocol import close_codes
from gateway.protocol.commands import Join, Resume
from gateway.recovery.reader import RecoveryReader
from persistence.messages import Messages
from persistence.sessions import StoredSessions
from tests.gateway_core import INFO, KEYS, GatewayCore, gateway_core
from tests.gateways import SECRET
from tests.limiters import limiter_without_limits
from tests.session_state import ANA, SESSION


def admission_of(core: GatewayCore, leases: GatewayLeases, engine: AsyncEngine) -> Admission:
    """The admission of the gateway core."""
    return Admission(
        hub=core.hub,
        sessions=core.sessions,
        directory=Directory(core.sessions, StoredSessions(engine)),
        reader=RecoveryReader(EventLog(core.link, keys=KEYS), core.sessions, Messages(engine)),
        tokens=Tokens(SECRET, 60),
        attempts=Attempts(Passwords(), limiter_without_limits(core.scripts, KEYS)),
        leave_queue=core.leave_queue,
        leases=leases,
        limiter=limiter_without_limits(core.scripts, KEYS),
        addresses=HashedAddresses(SECRET),
    )


async def test_a_lease_that_is_lost_during_a_join_ends_it(redis_url: str, engine: AsyncEngine) -> None:
    """A seat that was taken under a lease which was lost before the welcome is given up: others are freeing it."""
    async with gateway_core(redis_url) as core:
        leases = GatewayLeases(core.link, core.scripts, keys=KEYS, name="gw-1")
        await leases.renew()
        epoch, _ = await core.position()
        join = Join(name="Ana", resume=Resume(epoch, 0))
        admission = admission_of(core, leases, engine)
        # In this order over one connection: the join, the end of the lease, the renewal that finds the lease gone.
        joining = asyncio.create_task(admission.admit(Identified(INFO, User(ANA, "Ana"), None), join, "c-1", ""))
        await asyncio.sleep(0)  # let the join be sent
        core.link.call("ZREM", KEYS.gateways(KEYS.partition_of(SESSION)), "gw-1")
        assert (await leases.renew()).lost == {KEYS.partition_of(SESSION)}
        with pytest.raises(RefusedError) as refused:
            await joining
        await core.leave_queue.settle()
        assert refused.value.ending == close_codes.RESYNC
        assert await core.sessions.users(SESSION) == []
