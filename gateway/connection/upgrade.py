"""A subclass of uvicorn's HTTP protocol that upgrades to WebSocket, and lets the application detach the socket.

Until the accept the application has an ordinary ASGI WebSocket. Then the application calls
`scope["extensions"]["seance.detach"]` with a factory: the transport gets the factory's protocol, the ASGI task returns,
and scope, headers and parser are freed.
"""

import asyncio
import urllib.parse
from collections.abc import Callable
from typing import Any

import httptools
import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.utils import get_client_addr

from gateway.errors import ApiError
from gateway.protocol import handshake
from gateway.rest.envelope import without_request

HEAD_SECONDS = 10.0
# Closes requests whose body no handler reads; where a handler reads, gateway/rest/body.py answers 408 after 10 s.
BODY_SECONDS = 12.0
MAX_HEAD_BYTES = 65_536
MALFORMED_REQUEST = ApiError(400, "malformed_request", "This is no valid HTTP request.")
HEAD_TOO_LARGE = ApiError(
    431, "request_header_fields_too_large", f"The head of a request must have at most {MAX_HEAD_BYTES} bytes."
)
REFUSED_UNHEARD = ApiError(503, "unavailable", "This gateway is full or stops.", headers={"Retry-After": "1"})
FAILED = ApiError(500, "internal_error", "The server failed; its log has more.")
_CODES = {400: "malformed_request", 405: "method_not_allowed", 426: "upgrade_required"}
_WITH_BODY = frozenset((b"content-length", b"transfer-encoding"))

log = structlog.get_logger()

Message = dict[str, Any]
Detach = Callable[[Callable[[set[Any]], asyncio.Protocol]], None]


class UpgradeProtocol(HttpToolsProtocol):
    """HTTP by uvicorn, WebSocket by `_Opening`. Bounds the size of a request's head, and the time for head and body."""

    opening: "_Opening | None" = None
    _head_timer: asyncio.TimerHandle | None = None  # set until a head, or an upgrade's whole request, has come
    _body_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """A client connected: start the timer of the first head."""
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Parse the bytes, and bound the size of the head."""
        super().data_received(data)
        if self._head_timer is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._head_is_here()
                self._refuse(HEAD_TOO_LARGE)

    def send_400_response(self, msg: str) -> None:
        """Uvicorn can't parse the bytes: answer in the envelope of the API, and close."""
        del msg  # the same sentence for every fault
        self._refuse(MALFORMED_REQUEST)

    def on_message_begin(self) -> None:
        """A request begins: start the timer of its head."""
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        """The head of a request is complete: start the timer of its body, if there is one."""
        super().on_headers_complete()
        has_body = any(name in _WITH_BODY for name, _ in self.headers)
        if self.parser.should_upgrade() and self._should_upgrade():
            # The parser would wait for the body before it calls `handle_websocket_upgrade`.
            refusal = self._handshake_refusal() if has_body else None
            if refusal is not None:
                self._head_is_here()
                self.refuse(refusal)
        else:
            self._head_is_here()
            if has_body:
                self._body_timer = self.loop.call_later(BODY_SECONDS, self.transport.close)

    def on_message_complete(self) -> None:
        """The request is complete."""
        super().on_message_complete()
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_bytes = 0
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _head_is_here(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _should_upgrade(self) -> bool:
        return bool(self._get_upgrade() == b"websocket")

    def handle_websocket_upgrade(self) -> None:
        """The request's head is complete, and asks for a WebSocket."""
        self._head_is_here()
        if self.transport.is_closing():  # refused when its head had come
            return
        ahead: Any = self.cycle  # None before the first request, despite uvicorn's annotation
        if ahead is not None and not ahead.response_complete:
            # A pipelined upgrade: the answer to the request before must not come after the 101.
            self.transport.close()
            return
        refusal = self._handshake_refusal()
        if refusal is None and self._is_full():
            refusal = REFUSED_UNHEARD
        if refusal is not None:
            self.refuse(refusal)
            return
        try:
            scope = self._websocket_scope()
        except (httptools.HttpParserInvalidURLError, UnicodeDecodeError):
            self.refuse(MALFORMED_REQUEST)
            return
        # Bytes between the upgrade and the detach belong to the factory's protocol: leave them in the socket.
        self.transport.pause_reading()
        self.opening = _Opening(self, scope)
        task = self.loop.create_task(self.opening.run())
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client disconnected before the detach."""
        self._head_is_here()
        if self.opening is not None:
            self.opening.gone.set()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server is stopping: refuse an upgrade that is under way, with 503."""
        if self.opening is not None:
            self.opening.refuse(REFUSED_UNHEARD)
        super().shutdown()

    def answer(self, status: int, headers: handshake.Headers, body: bytes) -> None:
        """Answer an upgrade with plain HTTP, and close."""
        self._end_with(status, headers, body)
        self.answered(status)

    def refuse(self, error: ApiError) -> None:
        """Answer an upgrade with an error in the envelope, and close."""
        self._refuse(error)
        self.answered(error.status)

    def _refuse(self, error: ApiError) -> None:
        headers, body = without_request(error)
        pairs = ((name.lower().encode(), value.encode()) for name, value in headers.items())
        self._end_with(error.status, ((b"content-type", b"application/json"), *pairs), body)

    def _handshake_refusal(self) -> ApiError | None:
        refusal = handshake.check_request(self.scope["method"], self.scope["http_version"], self.headers)
        if refusal is None:
            return None
        headers = {name.decode(): value.decode() for name, value in refusal.headers}
        return ApiError(refusal.status, _CODES[refusal.status], refusal.reason, headers=headers)

    def _end_with(self, status: int, headers: handshake.Headers, body: bytes) -> None:
        given = [*self.server_state.default_headers, *headers]
        if not any(name.lower() == b"content-length" for name, _ in given):
            given.append((b"content-length", str(len(body)).encode()))
        lines = [STATUS_LINE[status], *(name + b": " + value + b"\r\n" for name, value in given)]
        self.transport.write(b"".join((*lines, b"connection: close\r\n\r\n", body)))
        self.transport.close()

    def answered(self, status: int) -> None:
        """Count the request and write its line in the access log, as uvicorn does for HTTP."""
        self.server_state.total_requests += 1
        if self.access_log:
            scope: Any = self.scope if self.opening is None else self.opening.scope
            target = self.url.decode("ascii", "backslashreplace")
            version = self.scope["http_version"]
            line = '%s - "%s %s HTTP/%s" %d'
            self.access_logger.info(line, get_client_addr(scope), self.scope["method"], target, version, status)

    def _is_full(self) -> bool:
        limit = self.limit_concurrency
        return limit is not None and (len(self.connections) >= limit or len(self.tasks) >= limit)

    def _websocket_scope(self) -> dict[str, Any]:
        url = httptools.parse_url(self.url)
        raw_path = url.path or b"/"  # an absolute form may end with its host
        path = urllib.parse.unquote(raw_path.decode("ascii"))
        offered = [value for name, value in self.headers if name == b"sec-websocket-protocol"]
        return {
            **self.scope,
            "type": "websocket",
            "scheme": "wss" if self.scheme == "https" else "ws",
            "path": self.root_path + path,
            "raw_path": self.root_path.encode("ascii") + raw_path,
            "query_string": url.query or b"",
            "subprotocols": [name.strip().decode("latin-1") for value in offered for name in value.split(b",")],
        }


class _Opening:
    """One upgrade, from the request to the detached socket, as an ASGI WebSocket connection."""

    def __init__(self, http: UpgradeProtocol, scope: dict[str, Any]) -> None:
        self._http = http
        self.scope = scope  # middleware writes the client's address into it
        self.scope["extensions"] = {"websocket.http.response": {}, "seance.detach": self._detach}
        self._response: Message | None = None
        self._has_connected = False
        self._is_answered = False
        self._is_accepted = False
        self._is_detached = False
        self.gone = asyncio.Event()

    async def run(self) -> None:
        """Call the application; afterwards the socket is detached or closed."""
        try:
            await self._http.config.loaded_app(self.scope, self._receive, self._send)
        except Exception:
            if self.gone.is_set():  # the application failed because its client is gone
                log.info("upgrade.abandoned", path=self.scope["path"])
            else:
                log.exception("upgrade.failed", path=self.scope["path"])
                self.refuse(FAILED)
        else:
            self.refuse(FAILED)
        finally:
            self._http.opening = None
            if not self._is_detached:
                self._http.transport.close()

    def refuse(self, error: ApiError) -> None:
        """Answer in place of an application that has not answered; the application then gets a disconnect."""
        if not self._is_answered:
            self._is_answered = True
            self._http.refuse(error)
            self.gone.set()

    async def _receive(self) -> Message:
        if not self._has_connected:
            self._has_connected = True
            return {"type": "websocket.connect"}
        await self.gone.wait()
        return {"type": "websocket.disconnect", "code": 1006}

    async def _send(self, message: Message) -> None:
        if self.gone.is_set():
            raise OSError("the client is gone")
        match message["type"]:
            case "websocket.accept":
                self._accept(message)
            case "websocket.http.response.start":
                self._response = message
            case "websocket.http.response.body":
                self._respond(message)
            case "websocket.close":
                self._is_answered = True
                self._http.answer(403, (), b"")
            case other:
                raise RuntimeError(f"{other} is not for a socket that must be detached once it is accepted")

    def _accept(self, message: Message) -> None:
        key = next(value for name, value in self._http.headers if name == b"sec-websocket-key")
        subprotocol = message.get("subprotocol")
        extra = [*self._http.server_state.default_headers, *message.get("headers", ())]
        answer = handshake.response(key, subprotocol.encode() if subprotocol else None, extra)
        self._is_answered = self._is_accepted = True
        self._http.transport.write(answer)
        self._http.answered(101)

    def _respond(self, message: Message) -> None:
        if self._response is None or message.get("more_body", False):
            raise RuntimeError("a refusal is one start and one body")
        self._is_answered = True
        self._http.answer(self._response["status"], self._response["headers"], message.get("body", b""))

    def _detach(self, make: Callable[[set[Any]], asyncio.Protocol]) -> None:
        """Hand the accepted socket to the protocol that `make` builds from uvicorn's registry of connections."""
        if not self._is_accepted:
            raise RuntimeError("accept the WebSocket first")
        http = self._http
        if http.transport.is_closing() or self.gone.is_set():
            return
        protocol = make(http.connections)
        http.connections.discard(http)
        http.transport.set_protocol(protocol)
        protocol.connection_made(http.transport)
        http.transport.resume_reading()
        self._is_detached = True
