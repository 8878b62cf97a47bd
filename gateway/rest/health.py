"""Health endpoints: for balancers, supervisors and monitoring; bare JSON without the envelope, and Prometheus text."""

import asyncio
from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gateway.rest.envelope import bare
from gateway.rest.operation import Operation
from gateway.rest.operators import is_operator, only_operators
from gateway.rest.services import Services

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


class HealthStatus(msgspec.Struct, frozen=True):
    """All that production says to a request that proves no operator: not which server is down, and no counts."""

    status: Literal["ok", "degraded"]


class Live(msgspec.Struct, frozen=True):
    """The process answers."""

    status: Literal["live"] = "live"


class Ready(msgspec.Struct, frozen=True):
    """Whether the gateway may get traffic, and why not."""

    status: Literal["ready", "unready"]
    reason: str | None


async def health(request: Request, services: Services) -> Response:
    """GET /health: 503 when Redis or Postgres does not answer within a second."""
    is_database_up, is_redis_up = await asyncio.gather(services.database_check.is_up(), services.redis_check.is_up())
    is_ok = is_database_up and is_redis_up
    status: Literal["ok", "degraded"] = "ok" if is_ok else "degraded"
    content: msgspec.Struct = HealthStatus(status)
    if await is_operator(request, services):
        content = Health(
            status=status,
            database="up" if is_database_up else "down",
            redis="up" if is_redis_up else "down",
            **msgspec.structs.asdict(services.health()),
        )
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


@only_operators
async def metrics(request: Request, services: Services) -> Response:
    """GET /metrics: Prometheus text, or OpenMetrics when asked for."""
    content, content_type = services.metrics.render(request.headers.get("Accept", ""))
    return Response(content, headers={"Content-Type": content_type})


OPERATIONS = (
    Operation(
        method="GET",
        path="/health",
        handler=health,
        summary="Whether Redis and Postgres answer, with counters",
        description=(
            "For people and monitoring. A balancer asks `/ready`, and a supervisor `/live`: neither should act "
            "when Redis is away. In production only ADMIN_PORT, or a token of scope `admin`, shows more than `status`."
        ),
        answer=Health,
        brief_answer=HealthStatus,
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
            " In production only on ADMIN_PORT, or with a token of scope `admin`."
        ),
        is_enveloped=False,
        media_type="text/plain",
    ),
)
