"""Does in Redis what gateways and workers do, once, under names of its own: rights can be tried, but not read."""

import asyncio
import contextlib
import secrets
import uuid
from collections.abc import AsyncIterator

from broker.errors import BrokerError, BrokerUnavailableError
from broker.events import User, instant
from broker.keys import Keys
from broker.pubsub.publisher import Publisher
from broker.redis.installation import claim
from broker.redis.link import Link, connected
from broker.redis.scripts import GATEWAY_SCRIPTS, WORKER_SCRIPTS, Scripts
from broker.sessions.event_log import EventLog
from broker.sessions.gateway_leases import GatewayLeases
from broker.sessions.live_sessions import LiveSessions, SessionInfo
from broker.streams.ownership import Ownership
from broker.streams.partition_streams import PartitionStreams, Persisted
from cluster.checks.finding import Finding
from gateway.settings import Settings

SUBJECT = "Redis rights"
_REMEDY = "give the user of REDIS_URL the rights that docs/operations.md lists"
_NAME = "check"


async def examine(settings: Settings) -> list[Finding]:
    """Whether everything is allowed; no finding when Redis does not answer, which another check reports.

    Every key of the round trip is removed at its end.
    """
    timeout_seconds = settings.redis_timeout_seconds
    keys = Keys(f"{settings.keys.prefix}:check-{secrets.token_hex(4)}", 1)
    stage = "connecting"
    try:
        async with connected(settings.redis_url, timeout_seconds=timeout_seconds, name="seance-check") as link:
            try:
                async with asyncio.timeout(timeout_seconds):
                    async for reached in _stages(link, keys):
                        stage = reached
            finally:
                with contextlib.suppress(BrokerError):
                    await link.call("DEL", *_names(keys))
    except BrokerUnavailableError as error:
        return [] if stage == "connecting" else [Finding(SUBJECT, f"{stage}: {error}", _REMEDY)]
    except TimeoutError:
        return [Finding(SUBJECT, f"{stage}: nothing came in {timeout_seconds} s", _REMEDY)]
    except BrokerError as error:
        return [Finding(SUBJECT, f"{stage}: {error}", _REMEDY)]
    return [Finding(SUBJECT, "scripts, channels, the log, leases and streams work")]


async def _stages(link: Link, keys: Keys) -> AsyncIterator[str]:
    """Do the work of a gateway and a worker; yields what comes next."""
    scripts = Scripts(link, (*GATEWAY_SCRIPTS, *WORKER_SCRIPTS))
    sessions = LiveSessions(link, scripts, keys=keys)
    session_id = _session_id(keys)
    heard = asyncio.Event()
    link.on_message = lambda _channel, _payload: heard.set()

    yield "writing a key"
    await claim(link, keys)
    yield "loading scripts"
    await link.call("SCRIPT", "LOAD", "return 1")
    yield "running a script"
    await sessions.open(SessionInfo(session_id, _NAME, instant(), 1, "full", spirit=False))
    yield "taking a gateway's lease"
    leases = GatewayLeases(link, scripts, keys=keys, name=_NAME)
    await leases.renew()
    yield "subscribing to a channel"
    await link.call("SUBSCRIBE", sessions.key(session_id))
    yield "joining a session"
    user = User(str(uuid.uuid4()), _NAME)
    await sessions.join(session_id, user, gateway=leases.of(session_id), connection=_NAME)
    yield "publishing a message"
    published = await Publisher(link, scripts, keys=keys, max_backlog=10).message(
        session_id, user_id=user.id, user_name=_NAME, text=_NAME
    )
    yield "hearing it"
    await heard.wait()
    await link.call("UNSUBSCRIBE", sessions.key(session_id))
    yield "reading the log"
    await EventLog(link, keys=keys).range(session_id, published.seq)
    yield "taking a worker's lease"
    ownership = Ownership(link, scripts, worker_id=_NAME, keys=keys)
    await ownership.renew()
    await ownership.take([0])
    yield "reading a stream"
    streams = PartitionStreams(link, scripts, reading=link, keys=keys)
    await streams.prepare()
    await streams.claim([0])
    entries = await streams.read([0], 10, 1)
    yield "settling a stream"
    await streams.settle(entries, [Persisted(0, session_id, entry.epoch, published.seq) for entry in entries[:1]])
    await streams.trim([0])
    await ownership.leave()


def _session_id(keys: Keys) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, keys.prefix))


def _names(keys: Keys) -> list[str]:
    """Every key that the round trip can make."""
    session = keys.session(0, _session_id(keys))
    return [
        *(keys.claim, keys.workers, keys.events(0), keys.owner(0), keys.gateways(0)),
        *(keys.part(0) + name for name in (f"gateway:{_NAME}", "away", "connections", "condemned")),
        *(session + suffix for suffix in ("", ":log", ":users", ":names", ":removed")),
    ]
