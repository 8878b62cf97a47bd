"""The resource session: create, look at, close."""

from typing import Annotated, Literal

import msgspec
import structlog
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from broker.errors import BrokerUnavailableError
from broker.events import instant
from broker.secrecy import concealed
from broker.sessions.live_sessions import SessionInfo, SessionState
from gateway.access.authority import CREATE, LOOK, MODERATE, Caller
from gateway.access.claims import Claims
from gateway.access.door import address_of
from gateway.limits.addresses import subject_of
from gateway.rest.body import read_body
from gateway.rest.envelope import success
from gateway.rest.fields import SESSION_NAME, TEXT_SCHEMA
from gateway.rest.idempotency import claim, read_key, release
from gateway.rest.limits import bucket_owner, spend
from gateway.rest.operation import Operation
from gateway.rest.request import NoQuery, authorized_caller, path_id, read_query, session_not_found, when_hot
from gateway.rest.services import Services
from persistence.errors import PersistenceError
from persistence.sessions import SessionRecord

log: structlog.stdlib.BoundLogger = structlog.get_logger()

PATH = "/api/sessions"

Presence = Literal["full", "summary"]
SlowConsumers = Literal["resync", "disconnect"]


class CreateSession(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A session to create."""

    # `omit_defaults`: the fingerprint of a body with an Idempotency-Key stays the same when a version adds a field.

    name: Annotated[SESSION_NAME, Meta(description="Kept in Unicode NFC; length counts after trimming.")]
    max_users: Annotated[int, Meta(ge=1, le=10_000, description="Seats.")] = 6
    password: Annotated[
        Annotated[str, Meta(min_length=8, max_length=128, extra_json_schema=TEXT_SCHEMA)] | None,
        Meta(description="Every join without a token must give the password. Only its argon2id hash is kept."),
    ] = None
    presence: Annotated[
        Presence | None,
        Meta(description="`full`: events of every join and leave; `summary`: counts. Default: `full` up to 100 seats."),
    ] = None
    spirit: Annotated[bool, Meta(description="An AI participant belongs to the session.")] = True
    slow_consumers: Annotated[
        SlowConsumers,
        Meta(description="What a slow reader gets: missed events from the log later, or a disconnect at once."),
    ] = "resync"
    multiple_connections: Annotated[
        bool,
        Meta(description="Whether a user may have several connections; else a new connection replaces the old one."),
    ] = False

    def __repr__(self) -> str:
        return concealed(self, "password")


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A session as it is now; `created_at` is RFC 3339 in UTC."""

    id: Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
    name: Annotated[str | None, Meta(description="Null for a caller without a token when the session has a password.")]
    created_at: Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
    max_users: int
    is_active: bool
    has_password: bool
    presence: Presence
    spirit: bool
    slow_consumers: SlowConsumers
    multiple_connections: bool
    user_count: int


class CreatedSession(Session, frozen=True, kw_only=True):
    """A session and the token that makes its holder the host."""

    host_token: Annotated[
        str | msgspec.UnsetType, Meta(description="Absent when the answer to a caller without a token is replayed.")
    ] = msgspec.UNSET

    def __repr__(self) -> str:
        return concealed(self, "host_token")


class ClosedSession(msgspec.Struct, frozen=True):
    """A session that is closed for good; `seq` is that of its last event."""

    id: str
    is_active: bool
    seq: int


async def create(request: Request, services: Services) -> Response:
    """POST /api/sessions."""
    read_query(request, NoQuery)
    caller = authorized_caller(request)
    key = read_key(request, caller)
    body = await read_body(request, CreateSession)
    if body.password is not None:
        await spend(services, bucket_owner(request), "password_creates")
    client = subject_of(address_of(request))
    if key is None:
        return _created(request, services, await _store(services, body, None, client), caller)
    claimed = await claim(services, key, body)
    record = await services.stored_sessions.get(claimed.session_id) if claimed.is_replayed else None
    if record is None:
        # The first request may have failed after it claimed the key, before it stored the session.
        try:
            record = await _store(services, body, claimed.session_id, client)
        except Exception:
            if caller.claims is None and not claimed.is_replayed:
                # A repetition would count as replayed, and get no host token.
                await release(services, claimed)
            raise
    return _created(request, services, record, caller, is_replayed=claimed.is_replayed)


async def get(request: Request, services: Services) -> Response:
    """GET /api/sessions/{id}."""
    session_id = path_id(request)
    read_query(request, NoQuery)
    info = await services.directory.get(session_id)
    if info is None:
        raise session_not_found()
    state = await when_hot(services, session_id, lambda: services.live_sessions.state(session_id))
    session = _session(info, state)
    if session.has_password and authorized_caller(request).claims is None:
        session = msgspec.structs.replace(session, name=None)
    return success(request, session)


async def close(request: Request, services: Services) -> Response:
    """DELETE /api/sessions/{id}."""
    session_id = path_id(request)
    read_query(request, NoQuery)
    seq = await when_hot(services, session_id, lambda: services.live_sessions.close(session_id))
    try:
        await services.stored_sessions.close(session_id)
    except PersistenceError:
        # Redis has closed the session; the worker writes the close to Postgres when it reads the event.
        log.warning("session.close_not_stored", session_id=session_id)
    return success(request, ClosedSession(session_id, is_active=False, seq=seq))


async def _store(services: Services, body: CreateSession, session_id: str | None, client: str) -> SessionRecord:
    password_hash = None if body.password is None else await services.passwords.hash(body.password, client=client)
    record = await services.stored_sessions.create(
        name=body.name,
        max_users=body.max_users,
        password_hash=password_hash,
        presence=body.presence,
        spirit=body.spirit,
        slow_consumers=body.slow_consumers,
        multiple_connections=body.multiple_connections,
        id=session_id,
    )
    try:
        await services.directory.created(record)
    except BrokerUnavailableError:
        # Postgres has the session; the first join after Redis is back makes its hot state.
        log.warning("session.not_hot", session_id=record.id)
    return record


def _session(info: SessionInfo, state: SessionState) -> Session:
    return Session(
        id=info.id,
        name=info.name,
        created_at=info.created_at,
        max_users=info.max_users,
        is_active=state.is_active,
        has_password=info.password_hash is not None,
        presence=info.presence,
        spirit=info.spirit,
        slow_consumers=info.slow_consumers,
        multiple_connections=info.multiple_connections,
        user_count=state.user_count,
    )


def _created(
    request: Request, services: Services, record: SessionRecord, caller: Caller, *, is_replayed: bool = False
) -> Response:
    # Whoever guessed or saw a key must not become the host of somebody else's session.
    is_hidden = is_replayed and caller.claims is None
    created = CreatedSession(
        id=record.id,
        name=record.name,
        created_at=instant(record.created_at),
        max_users=record.max_users,
        is_active=record.is_active,
        has_password=record.password_hash is not None,
        presence=record.presence,
        spirit=record.spirit,
        slow_consumers=record.slow_consumers,
        multiple_connections=record.multiple_connections,
        user_count=0,
        host_token=msgspec.UNSET if is_hidden else services.tokens.create_access_token(Claims.host(record.id)),
    )
    headers = {"Location": f"{services.settings.path_prefix}{PATH}/{record.id}"}
    if is_replayed:
        headers["Idempotency-Replayed"] = "true"
    return success(request, created, status=201, headers=headers)


OPERATIONS = (
    Operation(
        method="POST",
        path=PATH,
        handler=create,
        summary="Create a session",
        description=(
            "The answer holds the session's id, which people need to join, and `host_token`, which closes the session, "
            "removes users and publishes: keep it."
        ),
        status=201,
        answer=CreatedSession,
        permission=CREATE,
        body=CreateSession,
        errors=("idempotency_conflict", "unavailable"),
        limits_too=("creates",),
        headers={
            "Location": "Where the session is.",
            "Idempotency-Replayed": "`true` when an earlier request came with this key.",
        },
        request_headers={
            "Idempotency-Key": {
                "description": "For 24 h the same key and body of one caller give the same session again. A caller "
                "without a token needs a random key: a UUID, or at least 22 characters of base64url.",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
            }
        },
    ),
    Operation(
        method="GET",
        path=PATH + "/{id}",
        handler=get,
        summary="Look at a session",
        description=(
            "Name, limits, whether the session is active, and how many are present. Without a token `name` is null "
            "when the session has a password."
        ),
        answer=Session,
        permission=LOOK,
        errors=("unavailable",),
    ),
    Operation(
        method="DELETE",
        path=PATH + "/{id}",
        handler=close,
        summary="Close a session: everyone in it is told and disconnected",
        description=(
            "Nobody can join or publish afterwards; the history stays readable. A repetition changes nothing and "
            "succeeds."
        ),
        answer=ClosedSession,
        permission=MODERATE,
        errors=("unavailable",),
    ),
)
