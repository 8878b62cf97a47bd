"""The resource events: ephemeral events that a server sends to the connected clients."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from broker.errors import SessionClosedError
from broker.events import User
from gateway.access.authority import PUBLISH
from gateway.rest.body import read_body
from gateway.rest.envelope import success
from gateway.rest.fields import SERVER_NAME
from gateway.rest.operation import Operation
from gateway.rest.request import NoQuery, path_id, read_query, when_hot
from gateway.rest.services import Services

PATH = "/api/sessions/{id}/events"

EventType = Literal["spirit_thinking", "user_typing"]


class SendEvent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An ephemeral event; it is not numbered and not kept."""

    type: EventType
    user_name: Annotated[
        SERVER_NAME | None,
        Meta(description="Who is typing (`user_typing` only). Default: `Server`."),
    ] = None


class SentEvent(msgspec.Struct, frozen=True):
    """What was sent."""

    type: EventType


async def send(request: Request, services: Services) -> Response:
    """POST /api/sessions/{id}/events."""
    session_id = path_id(request)
    read_query(request, NoQuery)
    body = await read_body(request, SendEvent)
    state = await when_hot(services, session_id, lambda: services.live_sessions.state(session_id))
    if not state.is_active:
        raise SessionClosedError
    user = User(None, body.user_name or "Server") if body.type == "user_typing" else None
    await services.publisher.ephemeral(session_id, body.type, user)
    return success(request, SentEvent(body.type), status=202)


OPERATIONS = (
    Operation(
        method="POST",
        path=PATH,
        handler=send,
        summary="Send an ephemeral event from a server",
        description=(
            "Everyone who is connected gets the event; it has no `seq`, is not stored, and does not come again "
            "after a reconnect."
        ),
        status=202,
        answer=SentEvent,
        body=SendEvent,
        permission=PUBLISH,
        errors=("session_closed", "unavailable"),
    ),
)
