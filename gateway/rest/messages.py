"""The resource messages: a session's history, and publishing from a server."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from broker.errors import RateLimitedError, SessionBacklogFullError
from broker.events import Message, instant
from broker.pubsub.publisher import Published, Toll
from gateway.access.authority import PUBLISH, READ
from gateway.errors import ApiError, Detail
from gateway.rest.body import read_body
from gateway.rest.envelope import success
from gateway.rest.failures import unavailable
from gateway.rest.fields import SERVER_NAME, TEXT_SCHEMA, TRIMMED, TRIMMED_SCHEMA, invalid
from gateway.rest.operation import Operation
from gateway.rest.request import path_id, read_query, session_not_found, when_hot
from gateway.rest.services import Services
from gateway.rooms.effects import CommitOutcome
from gateway.rooms.room import Room
from persistence.messages import MessageRecord

PATH = "/api/sessions/{id}/messages"

# The largest integer that JavaScript holds exactly (`Number.MAX_SAFE_INTEGER`).
MAX_SEQ = 2**53 - 1


class HistoryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of the history; without `before` and `after` it is the newest page."""

    before: Annotated[
        Annotated[int, Meta(ge=1, le=MAX_SEQ)] | None, Meta(description="Only messages with a smaller seq.")
    ] = None
    after: Annotated[
        Annotated[int, Meta(ge=0, le=MAX_SEQ)] | None, Meta(description="Only messages with a greater seq.")
    ] = None
    limit: Annotated[int, Meta(ge=1, le=200, description="Messages on the page, at most.")] = 50


class StoredMessage(Message, frozen=True, kw_only=True):
    """A message as everyone got it, and its place in the session."""

    seq: int


class History(msgspec.Struct, frozen=True):
    """A page of messages, seq rising; `next_before` and `next_after` ask for the pages around it, null at an end."""

    items: tuple[StoredMessage, ...]
    next_before: int | None
    next_after: int | None


class PublishQuery(msgspec.Struct, frozen=True, kw_only=True):
    """How far the message must have come before the answer is sent."""

    ack: Annotated[
        Literal["accepted", "persisted"],
        Meta(description="`accepted`: in Redis, ordered, on its way (202). `persisted`: committed in Postgres (201)."),
    ] = "accepted"


class PublishMessage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A message that a server publishes."""

    text: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=500,
            extra=TRIMMED,
            extra_json_schema=TRIMMED_SCHEMA,
            description="Length counts after trimming.",
        ),
    ]
    user_name: Annotated[
        SERVER_NAME | None,
        Meta(description="The sender's name. Default: `Spirit` when `is_spirit`, else `Server`."),
    ] = None
    is_spirit: Annotated[bool, Meta(description="Whether the message is from the session's AI participant.")] = False
    id: Annotated[
        Annotated[str, Meta(min_length=1, max_length=64, extra_json_schema=TEXT_SCHEMA)] | None,
        Meta(description="For 5 minutes the same id gives the first message's seq and publishes nothing."),
    ] = None


class PublishedMessage(msgspec.Struct, frozen=True):
    """Where the message stands in its session, and its id."""

    seq: int
    id: str


async def page(request: Request, services: Services) -> Response:
    """GET /api/sessions/{id}/messages."""
    session_id = path_id(request)
    query = read_query(request, HistoryQuery)
    if query.before is not None and query.after is not None:
        raise invalid([Detail("after", "give `before` or `after`, not both")])
    # Postgres, not Redis, is asked, so that the history can be read while Redis is down.
    if await services.stored_sessions.get(session_id) is None:
        raise session_not_found()
    found = await services.messages.page(session_id, before=query.before, after=query.after, limit=query.limit)
    items = tuple(_stored(record) for record in found.items)
    return success(request, History(items, found.next_before, found.next_after))


async def publish(request: Request, services: Services) -> Response:
    """POST /api/sessions/{id}/messages."""
    session_id = path_id(request)
    query = read_query(request, PublishQuery)
    body = await read_body(request, PublishMessage)
    is_awaited = query.ack == "persisted"

    async def send() -> Published:
        try:
            return await services.publisher.message(
                session_id,
                user_id=None,
                user_name=body.user_name or ("Spirit" if body.is_spirit else "Server"),
                text=body.text,
                is_spirit=body.is_spirit,
                key=body.id,
                is_awaited=is_awaited,
                toll=Toll(session=1),
            )
        except RateLimitedError as error:
            services.counters.limited[error.what] += 1
            raise
        except SessionBacklogFullError:
            services.counters.limited["session_backlog_bytes"] += 1
            raise

    published = await (_committed(services, session_id, send) if is_awaited else when_hot(services, session_id, send))
    answer = PublishedMessage(published.seq, published.message_id)
    return success(request, answer, status=201 if is_awaited else 202)


async def _committed(services: Services, session_id: str, send: Callable[[], Awaitable[Published]]) -> Published:
    """Publish with `send`, and wait for the commit. Raises ApiError 404, or 503 when the commit fails or is late."""
    info = await services.directory.get(session_id)
    if info is None:
        raise session_not_found()
    # The gateway hears of commits only while it has a room of the session.
    async with services.hub.joining(info) as room:
        published = await when_hot(services, session_id, send)
        if published.is_persisted:
            return published
        try:
            async with asyncio.timeout(services.settings.commit_timeout_seconds):
                outcome = await _outcome(services, room, published)
        except TimeoutError as exc:
            raise unavailable("the message is on its way, but not committed yet; repeat it with the same `id`") from exc
    if outcome is CommitOutcome.UNKNOWN:
        raise unavailable("Redis lost its newest data; read the history to see whether the message was stored")
    if outcome is CommitOutcome.REFUSED:
        raise ApiError(503, "unavailable", f"the message was delivered with seq {published.seq}, but can't be stored")
    return published


async def _outcome(services: Services, room: Room, published: Published) -> CommitOutcome:
    return CommitOutcome.REFUSED if published.is_refused else await services.driver.commit_outcome(room, published.seq)


def _stored(record: MessageRecord) -> StoredMessage:
    return StoredMessage(
        seq=record.seq,
        id=record.id,
        session_id=record.session_id,
        user_id=record.user_id,
        user_name=record.user_name,
        text=record.text,
        timestamp=instant(record.timestamp),
        is_spirit=record.is_spirit,
    )


OPERATIONS = (
    Operation(
        method="GET",
        path=PATH,
        handler=page,
        summary="Read the history of a session",
        description=(
            "Messages in ascending `seq`, from Postgres: the newest page, or the page before or after a `seq`. "
            "`next_before` and `next_after` lead to the neighbouring pages, and are null at the ends."
        ),
        answer=History,
        permission=READ,
        query=HistoryQuery,
        errors=("unavailable",),
    ),
    Operation(
        method="POST",
        path=PATH,
        handler=publish,
        summary="Publish a message from a server",
        description=(
            "Everyone in the session gets the message, in the one order of the session. Give an `id` to repeat a "
            "request safely."
        ),
        status=202,
        answer=PublishedMessage,
        query=PublishQuery,
        body=PublishMessage,
        permission=PUBLISH,
        errors=("session_closed", "unavailable"),
        other_statuses={201: "With `ack=persisted`: the message is committed in Postgres."},
    ),
)
