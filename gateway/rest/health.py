"""Health endpoints: for balancers, supervisors and monitoring; bare JSON without the envelope, and Prometheus text."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from broker.errors import BrokerError
from gateway.rest.envelope import bare
from gateway.rest.operation import Operation
from gateway.rest.services import Services
from persistence.errors import PersistenceError

UpOrDown = Literal["up", "down"]


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the gateway reaches its servers, what it holds now, and what it has done since it started."""

    status: Literal["ok", "degraded"]
    database: UpOrDown
    redis: UpOrDown
    gateway_id: str
    sockets: int
    sessions: int
    events_total: int
    deliveries_total: int
    uptime_seconds: float
    loop_lag_seconds: float
    backlog: int
    backlog_limit: int
    dead_letters: int


class Live(msgspec.Struct, frozen=True):
    """The process answers."""

    status: Literal["live"] = "live"


class Ready(msgspec.Struct, frozen=True):
    """Whether the gateway may get traffic, and why not."""

    status: Literal["ready", "unready"]
    reason: str | None


async def health(_: Request, services: Services) -> Response:
    """GET /health: 503 when Redis or Postgres does not answer within a second."""
    seconds = services.check_seconds
    database, redis = await asyncio.gather(
        _check(services.ping_database, seconds), _check(services.ping_redis, seconds)
    )
    is_ok = database == redis == "up"
    counters = msgspec.structs.asdict(services.health())
    content = Health(status="ok" if is_ok else "degraded", database=database, redis=redis, **counters)
    return bare(content, status=200 if is_ok else 503)


async def live(_: Request, __: Services) -> Response:
    """GET /live: never touches Redis or Postgres."""
    return bare(Live())


async def ready(_: Request, services: Services) -> Response:
    """GET /ready: 503 while draining, or while relayed events do not arrive."""
    readiness = services.readiness()
    if readiness.is_ready:
        return bare(Ready("ready", None))
    return bare(Ready("unready", readiness.reason), status=503)


async def metrics(request: Request, services: Services) -> Response:
    """GET /metrics: Prometheus text, or OpenMetrics when asked for."""
    content, content_type = services.metrics.render(request.headers.get("Accept", ""))
    return Response(content, headers={"Content-Type": content_type})


async def _check(ping: Callable[[], Awaitable[None]], seconds: float) -> UpOrDown:
    try:
        async with asyncio.timeout(seconds):
            await ping()
    except (BrokerError, PersistenceError, TimeoutError):
        return "down"
    return "up"


OPERATIONS = (
    Operation(
        method="GET",
        path="/health",
        handler=health,
        summary="Whether Redis and Postgres answer, with counters",
        description=(
            "For people and monitoring. A balancer asks `/ready`, and a supervisor `/live`: neither should act "
            "when Redis is away."
        ),
        answer=Health,
        is_enveloped=False,
        other_statuses={503: "Degraded: one of them does not answer within a second."},
    ),
    Operation(
        method="GET",
        path="/live",
        handler=live,
        summary="Whether the process answers",
        description="Asks neither Redis nor Postgres, so that an outage of theirs restarts no gateway.",
        answer=Live,
        is_enveloped=False,
    ),
    Operation(
        method="GET",
        path="/ready",
        handler=ready,
        summary="Whether the gateway may get traffic",
        description=(
            "503 while the gateway starts or drains, and while events do not arrive at it through Redis; `reason` "
            "says which."
        ),
        answer=Ready,
        is_enveloped=False,
        other_statuses={503: "Not now; `reason` says why."},
    ),
    Operation(
        method="GET",
        path="/metrics",
        handler=metrics,
        summary="Prometheus metrics",
        description=(
            "In the text format of Prometheus, or OpenMetrics when `Accept` asks for it; docs/metrics.md explains each."
        ),
        is_enveloped=False,
        media_type="text/plain",
    ),
)
