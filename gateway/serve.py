"""Composition root of one gateway: builds the parts, supervises the named tasks, drains, returns the exit code."""

import asyncio
import contextlib
import gc
import secrets
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any

import structlog
import uvicorn
import uvloop

from broker.errors import MISCONFIGURED, BrokerError
from broker.limits.buckets import Pace, SharedBuckets
from broker.limits.sockets import SocketCounts
from broker.pubsub.publisher import Publisher
from broker.pubsub.relay_probe import ProbeChannel
from broker.pubsub.subscriber import Subscriber
from broker.redis.link import Link
from broker.redis.scripts import Scripts
from broker.sessions.event_log import EventLog
from broker.sessions.fence import Fence
from broker.sessions.gateway_leases import GatewayLeases
from broker.sessions.live_sessions import LiveSessions
from broker.sessions.revocations import RevocationHash
from gateway.access.address_sockets import AddressSockets
from gateway.access.admission import Admission
from gateway.access.attempts import Attempts
from gateway.access.authority import Authority
from gateway.access.directory import Directory
from gateway.access.door import Door
from gateway.access.grants import Grants
from gateway.access.hashed_addresses import HashedAddresses
from gateway.access.identity_provider import IdentityProvider
from gateway.access.passwords import Passwords
from gateway.access.revocations import Revocations
from gateway.access.revoked import RevokedTokens
from gateway.access.tokens import Tokens
from gateway.app import create_app
from gateway.connection.context import Context
from gateway.connection.deadlines import Deadlines
from gateway.connection.heartbeat import Heartbeat
from gateway.connection.turns import Turns
from gateway.connection.upgrade import UpgradeProtocol
from gateway.counters import Counters
from gateway.lifecycle.drain import Drain
from gateway.lifecycle.fencing import Fencing
from gateway.lifecycle.gateway_lease import GatewayLease
from gateway.lifecycle.installation import InstallationCheck
from gateway.lifecycle.relay_probe import RelayProbe
from gateway.lifecycle.revocation_watch import RevocationWatch
from gateway.lifecycle.server import SETTLE_SECONDS, Server
from gateway.limits.limiter import Limiter
from gateway.limits.rate import Rate
from gateway.protocol import close_codes
from gateway.protocol.socket_limits import SocketLimits
from gateway.recovery.reader import RecoveryReader
from gateway.recovery.replay import Replays
from gateway.rest.services import Readiness, Services
from gateway.rest.shared_check import SharedCheck
from gateway.rooms.driver import RoomDriver
from gateway.rooms.flush_scheduler import FlushScheduler
from gateway.rooms.hub import Hub
from gateway.rooms.leave_queue import LeaveQueue
from gateway.rooms.link_share import LinkShare
from gateway.rooms.member import Member
from gateway.rooms.membership import Membership
from gateway.rooms.publishing import Publishing
from gateway.rooms.tolls import Tolls
from gateway.settings import Settings
from gateway.tasks import Tasks
from gateway.telemetry import logs
from gateway.telemetry.collector import Collector
from gateway.telemetry.dependency_probe import DependencyProbe
from gateway.telemetry.loop_lag import LoopLag
from metrics.exposition import Exposition
from persistence.connections import ping
from persistence.engine import create_engine
from persistence.installation import Bond
from persistence.messages import Messages
from persistence.revocations import StoredRevocations
from persistence.sessions import StoredSessions

EXIT_OK, EXIT_FAILED, EXIT_CONFIGURATION = 0, 1, 2

log = structlog.get_logger()


def run(settings: Settings, gateway_id: str) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    logs.configure(settings, gateway_id=gateway_id)
    # Imported objects live until the end: scanning them in each full collection would pause the process for over 10 ms.
    gc.freeze()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(Gateway(settings, gateway_id).serve())


class Gateway:
    """One gateway process: its parts and its tasks."""

    def __init__(self, settings: Settings, gateway_id: str) -> None:
        self._settings = settings
        self._id = gateway_id
        self._exit_code = EXIT_OK

    async def serve(self) -> int:
        """Build the parts, listen, supervise, drain; returns the exit code."""
        settings = self._settings
        seconds = settings.redis_timeout_seconds
        self._link = Link(settings.redis_url, timeout_seconds=seconds, name=f"{self._id}-link")
        self._engine = create_engine(
            settings.database_url,
            schema=settings.database_schema,
            pooler=settings.database_pooler,
            pool_size=settings.db_pool_size,
            max_overflow=settings.db_max_overflow,
            timeout_seconds=settings.db_timeout_seconds,
        )
        self._passwords = Passwords()
        self._tasks = Tasks()
        services, context = self._compose()
        if self._provider is not None:
            self._provider.start()
        self._server = Server(
            uvicorn.Config(
                create_app(services, context),
                # uvicorn passes the host on to `create_server`, where None means every address of both families.
                host=settings.bind_host,  # type: ignore[arg-type]
                port=settings.port,
                http=UpgradeProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=settings.log_level == "debug",
                server_header=False,
                proxy_headers=True,
                forwarded_allow_ips="*" if "*" in settings.proxies else list(settings.proxies),
                timeout_graceful_shutdown=settings.shutdown_timeout_seconds,
            ),
            self._drain,
            admin_port=settings.admin_port,
        )
        parts = {
            "link": self._link.keeper.run(),
            "installation": self._installation.run(),
            "fencing": self._once_passed(self._fencing.run),
            "gateway_lease": self._once_passed(self._gateway_lease.run),
            "revocations": self._revocation_watch.run(self._installation.passed),
            "relay_probe": self._once_passed(self._relay_probe.run),
            "address_sockets": self._addresses.run(),
            "loop_lag": self._lag.run(),
            "heartbeat": context.heartbeat.run(),
            "dependency_probe": self._dependency_probe.run(),
        }
        supervised = [self._supervise(name, work) for name, work in parts.items()]
        log.info("gateway.started", host=settings.host, port=settings.port)
        try:
            await self._server.serve()
        except SystemExit:  # uvicorn could not listen, and has logged the reason
            self._exit_code = EXIT_FAILED
        finally:
            await self._stop(supervised, context)
        log.info("gateway.stopped", exit_code=self._exit_code)
        return self._exit_code

    def _compose(self) -> tuple[Services, Context]:
        settings = self._settings
        keys = settings.keys
        name = f"{self._id}-{secrets.token_hex(4)}"
        counters = Counters()
        # Redis
        scripts = Scripts(self._link)
        subscriber = Subscriber(self._link)
        publisher = Publisher(
            self._link,
            scripts,
            keys=keys,
            max_backlog=settings.max_backlog,
            max_session_backlog_bytes=settings.max_session_backlog_bytes,
            session_pace=_pace(settings.limit_messages_session),
            user_pace=_pace(settings.limit_messages_user),
        )
        event_log = EventLog(self._link, keys=keys)
        sessions = LiveSessions(
            self._link,
            scripts,
            keys=keys,
            log_events=settings.log_events,
            log_bytes=settings.max_log_bytes,
            idle_seconds=settings.session_idle_seconds,
            grace_seconds=settings.resume_grace_seconds,
            max_backlog=settings.max_backlog,
        )
        # Postgres
        stored = StoredSessions(self._engine)
        messages = Messages(self._engine)
        # Rooms
        scheduler = FlushScheduler()
        driver = RoomDriver(sessions, event_log, scheduler, counters)
        hub = Hub(subscriber, sessions, driver, counters)
        leave_queue = LeaveQueue(sessions)
        reader = RecoveryReader(event_log, sessions, messages)
        # Limits
        limiter = Limiter(SharedBuckets(scripts, keys=keys), _rates(settings), counters.limited)
        # Access
        directory = Directory(sessions, stored)
        self._provider = IdentityProvider.of(settings)
        revocation_hash = RevocationHash(self._link, keys=keys)
        self._revocations = Revocations(revocation_hash, StoredRevocations(self._engine))
        tokens = Tokens(
            settings.jwt_secret,
            settings.jwt_expires_seconds,
            old_secrets=settings.old_secrets,
            provider=self._provider,
            is_revoked=self._revocations.cover,
        )
        leases = GatewayLeases(self._link, scripts, keys=keys, name=name)
        socket_counts = SocketCounts(self._link, scripts, leases, keys=keys)
        self._addresses = AddressSockets(socket_counts, settings.max_connections_per_address, counters.limited)
        self._door = Door(settings, self._addresses)
        admission = Admission(
            hub=hub,
            sessions=sessions,
            directory=directory,
            reader=reader,
            tokens=tokens,
            attempts=Attempts(self._passwords, limiter),
            leave_queue=leave_queue,
            leases=leases,
            limiter=limiter,
            addresses=HashedAddresses(settings.jwt_secret),
            needs_tokens=settings.needs_tokens,
        )
        # Lifecycle
        self._installation = InstallationCheck(self._link, keys, Bond(self._link, keys, self._engine))
        self._drain = Drain(self._door, settings)
        self._fencing = Fencing(self._link, scripts, Fence(self._link, scripts, keys=keys, name=name), stored)
        self._gateway_lease = GatewayLease(self._link, leases, hub, leave_queue, keys=keys, on_lost=self._data_lost)
        self._revocation_watch = RevocationWatch(
            self._link, subscriber, self._revocations, channel=revocation_hash.channel
        )
        probe_channel = ProbeChannel(scripts, subscriber, key=keys.canary(name))
        self._relay_probe = RelayProbe(probe_channel, self._link)
        # Telemetry
        self._lag = LoopLag()
        self._dependency_probe = DependencyProbe(
            self._link, ping_redis=self._ping_redis, ping_database=self._ping_database, keys=keys
        )
        collector = Collector(
            gateway_id=self._id,
            door=self._door,
            revocations=self._revocations,
            drain=self._drain,
            hub=hub,
            link=self._link,
            publisher=publisher,
            counters=counters,
            dependency_probe=self._dependency_probe,
            relay_probe=self._relay_probe,
            lag=self._lag,
            is_ready=lambda: self._readiness().is_ready,
            max_backlog=settings.max_backlog,
        )
        services = Services(
            settings=settings,
            tokens=tokens,
            authority=Authority(tokens, directory, needs_tokens=settings.needs_tokens),
            revocations=self._revocations,
            passwords=self._passwords,
            directory=directory,
            stored_sessions=stored,
            messages=messages,
            live_sessions=sessions,
            limiter=limiter,
            counters=counters,
            publisher=publisher,
            hub=hub,
            driver=driver,
            readiness=self._readiness,
            health=collector.health,
            metrics=Exposition("gateway", self._id, collector),
            database_check=SharedCheck(self._ping_database),
            redis_check=SharedCheck(self._ping_redis),
        )
        replays = Replays(
            reader=reader,
            hub=hub,
            driver=driver,
            scheduler=scheduler,
            tasks=self._tasks,
            counters=counters,
            max_buffer_bytes=settings.max_buffer_bytes,
            patience_seconds=settings.slow_consumer_seconds,
        )
        now = asyncio.get_running_loop().time  # of uvloop: read once in a turn of the loop, which is fine for rates
        context = Context(
            hub=hub,
            driver=driver,
            scheduler=scheduler,
            publishing=Publishing(
                publisher,
                driver,
                counters,
                link_share=LinkShare(settings.max_in_flight_per_socket),
                tolls=Tolls(settings.limit_messages_session, settings.limit_messages_user),
                user_rate=settings.limit_messages_user,
                now=now,
            ),
            admission=admission,
            grants=Grants(tokens, expires_seconds=settings.jwt_expires_seconds, needs_tokens=settings.needs_tokens),
            door=self._door,
            leave_queue=leave_queue,
            replays=replays,
            heartbeat=Heartbeat(settings.heartbeat_seconds),
            turns=Turns(),
            now=now,
            deadlines=Deadlines(),
            tasks=self._tasks,
            counters=counters,
            limits=SocketLimits(
                max_frame_bytes=settings.max_frame_bytes,
                malformed_frames=settings.max_malformed_frames,
                turn_frames=settings.turn_frames,
                turn_bytes=settings.turn_bytes,
                frames=settings.limit_frames,
                messages=settings.limit_messages_connection,
                typing=settings.limit_typing,
            ),
            join_timeout_seconds=settings.join_timeout_seconds,
            max_buffer_bytes=settings.max_buffer_bytes,
        )
        # The link calls these in this order when it comes up: load the scripts; shut them before a caller can
        # ask for a seq; subscribe to the channels again; then tell the check of the installation, the lease and the
        # probe of the new connection.
        self._link.on_up = (
            scripts.load,
            self._fencing.linked,
            subscriber.resubscribe,
            self._installation.linked,
            self._gateway_lease.linked,
            self._relay_probe.linked,
        )
        self._link.on_message = hub.heard
        self._link.start_of_read = scheduler.start_of_read
        self._link.end_of_read = scheduler.end_of_read
        subscriber.on_resubscribed = hub.resubscribed
        hub.listen(probe_channel.channel, self._relay_probe.heard)
        hub.listen(revocation_hash.channel, self._revocations.heard, self._revocation_watch.interrupted)
        self._revocations.on_revoked = partial(_end_revoked, hub)
        return services, context

    # Supervision

    def _supervise(self, name: str, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._part_ended)
        return task

    def _part_ended(self, task: "asyncio.Task[None]") -> None:
        """A part ended before the server did: drain and exit, so that the supervisor starts a new process."""
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, MISCONFIGURED):
            log.error("gateway.misconfigured", reason=str(error))
            self._exit_code = EXIT_CONFIGURATION
        else:
            log.error("gateway.part_died", part=task.get_name(), exc_info=error)
            self._exit_code = EXIT_FAILED
        self._server.should_exit = True

    async def _once_passed(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do the work once it is known that Redis belongs to this installation."""
        await self._installation.passed.wait()
        await work()

    def _data_lost(self) -> None:
        """Redis has lost data under an open connection: it may be another installation's, and lack revocations."""
        self._installation.linked()
        self._revocation_watch.interrupted()

    # Readiness and pings

    def _readiness(self) -> Readiness:
        obstacle = next(self._obstacles(), None)
        return Readiness(is_ready=obstacle is None, reason=obstacle)

    def _obstacles(self) -> Iterator[str]:
        """Why this gateway should get no traffic now."""
        if self._door.is_draining:
            yield "draining"
        if self._relay_probe.problem is not None:
            yield self._relay_probe.problem
        if not self._fencing.is_open:
            yield "what Redis holds is being checked"
        if not self._revocations.is_known:
            yield "the revoked tokens are being read"
        if not (self._installation.passed.is_set() and self._gateway_lease.has_lease):
            yield "starting"
        limit_ms = self._settings.max_loop_lag_milliseconds
        if limit_ms and self._lag.seconds * 1000 >= limit_ms:
            yield f"the event loop lags by {self._lag.seconds:.1f} s"

    async def _ping_redis(self) -> None:
        await self._link.call("PING")

    async def _ping_database(self) -> None:
        await ping(self._engine)

    # The end

    async def _stop(self, supervised: list["asyncio.Task[None]"], context: Context) -> None:
        await self._tasks.close()
        try:
            async with asyncio.timeout(self._drain.left(SETTLE_SECONDS)):
                await context.leave_queue.settle()
                await self._gateway_lease.give_up()
        except (TimeoutError, BrokerError):
            log.warning("gateway.seats_left_behind")
        for task in supervised:
            task.cancel()
        await asyncio.gather(*supervised, return_exceptions=True)
        self._passwords.close()
        if self._provider is not None:
            await self._provider.close()
        with contextlib.suppress(TimeoutError):  # a hanging Postgres would delay the exit for each connection
            async with asyncio.timeout(self._drain.left(SETTLE_SECONDS)):
                await self._engine.dispose()


def _pace(rate: Rate) -> Pace:
    return Pace.of(rate.per_second, rate.burst)


def _rates(settings: Settings) -> dict[str, Rate]:
    """The rates that the limiter holds clients to, by their names in the metrics."""
    return {
        "joins": settings.limit_joins,
        "resumes": settings.limit_resumes,
        "creates": settings.limit_creates,
        "password_creates": settings.limit_password_creates,
        "attempts": settings.limit_attempts,
        "attempts_session": settings.limit_attempts_session,
        "reads": settings.limit_reads,
        "writes": settings.limit_writes,
    }


def _end_revoked(hub: Hub, revoked: RevokedTokens) -> None:
    """End the members whom a revoked token has admitted."""

    def is_revoked(member: Member) -> bool:
        assert isinstance(member, Membership)
        # Whatever admitted the member was issued before the revocation came here.
        return revoked.covers(member.token_id, (member.user_id, member.application_subject), issued_at=0)

    hub.end_those(is_revoked, close_codes.UNAUTHORIZED.saying("the token was revoked"))
