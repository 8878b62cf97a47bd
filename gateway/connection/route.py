"""The WebSocket route: refuses a request over HTTP, or upgrades the request and detaches the socket."""

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from broker.errors import BrokerUnavailableError
from gateway.access.door import address_of
from gateway.connection.connection import Connection
from gateway.connection.context import Context
from gateway.errors import ApiError
from gateway.protocol.handshake import BATCH_SUBPROTOCOL
from gateway.rest.envelope import failure
from gateway.rest.failures import nothing_here, unavailable
from gateway.rest.request import path_id, session_not_found
from persistence.errors import PersistenceError

log = structlog.get_logger()


async def join_session(websocket: WebSocket) -> None:
    """`GET /ws/{session_id}`: 400, 403, 404, 421, 429 or 503 with the envelope, or a socket that waits for `join`."""
    context: Context = websocket.app.state.context
    try:
        context.door.check(websocket)
        async with context.door.upgrading(websocket):
            session_id = await _session_id(context, websocket)
            context.door.check(websocket)  # again: other sockets may have been opened during the lookup
            await _upgrade(context, websocket, session_id)
    except ApiError as error:
        log.info("upgrade.refused", path=websocket.url.path, status=error.status, code=error.code)
        context.counters.upgrades_refused[error.code] += 1
        await websocket.send_denial_response(failure(websocket, error))


async def _upgrade(context: Context, websocket: WebSocket, session_id: str) -> None:
    wants_batches = BATCH_SUBPROTOCOL in websocket.scope["subprotocols"]
    await websocket.accept(subprotocol=BATCH_SUBPROTOCOL if wants_batches else None)
    address = address_of(websocket)
    websocket.scope["extensions"]["seance.detach"](
        lambda registry: Connection(
            context, session_id, address=address, wants_batches=wants_batches, registry=registry
        )
    )


async def no_websocket(websocket: WebSocket) -> None:
    """Answer 404 to an upgrade of any other path."""
    await websocket.send_denial_response(failure(websocket, nothing_here()))


async def upgrade_required(request: Request) -> Response:
    """Answer 426 to a request for the same path without an upgrade."""
    error = ApiError(426, "upgrade_required", "this address speaks WebSocket", headers={"Upgrade": "websocket"})
    return failure(request, error)


async def _session_id(context: Context, websocket: WebSocket) -> str:
    """The id of the path's session, in lower case. Raises ApiError: 404 or 503."""
    session_id = path_id(websocket, "session_id")
    try:
        info = await context.admission.find(session_id)
    except (BrokerUnavailableError, PersistenceError) as error:
        log.warning("session.not_found_out", reason=str(error))
        raise unavailable("sessions can't be looked up right now") from error
    if info is None:
        raise session_not_found()
    return session_id
