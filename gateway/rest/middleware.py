"""The middleware of HTTP requests: Host and Origin, CORS, request id, headers, limits of bodies, unexpected errors."""

from http import HTTPStatus

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.access.origin_policy import OriginPolicy
from gateway.access.origins import AllowedOrigins, parse_origin
from gateway.errors import ApiError
from gateway.rest.envelope import REQUEST_ID_HEADER, SECURITY_HEADERS, failure, request_id
from gateway.rest.failures import refuse
from gateway.settings import Settings

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_MAX_DIGITS = 18


def middleware(settings: Settings) -> list[Middleware]:
    """The middleware of the application, outermost first."""
    policy = OriginPolicy(settings)
    return [
        Middleware(HostAndOrigin, policy=policy),
        Middleware(Cors, origins=policy.origins),
        Middleware(Surroundings),
        Middleware(DeclaredLengthLimit, max_body_bytes=settings.max_body_bytes),
        # Bounds chunked bodies, which have no Content-Length.
        Middleware(RequestBodyLimitMiddleware, max_body_size=settings.max_body_bytes),
    ]


class HostAndOrigin:
    """Refuses requests whose Host or Origin is wrong; upgrades are checked by the door, which counts refusals."""

    def __init__(self, app: ASGIApp, policy: OriginPolicy) -> None:
        self._app = app
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        app = self._app
        if scope["type"] == "http":
            request = Request(scope)
            try:
                self._policy.check(request)
            except ApiError as error:
                with structlog.contextvars.bound_contextvars(request_id=request_id(scope)):
                    app = refuse(request, error)
        await app(scope, receive, send)


class Cors(CORSMiddleware):
    """Starlette's CORS middleware; compares origins by their parts, and a refused preflight gets the envelope."""

    def __init__(self, app: ASGIApp, origins: AllowedOrigins) -> None:
        super().__init__(
            app,
            allow_origins=("*",) if origins.allows_all else (),
            allow_methods=("GET", "HEAD", "POST", "DELETE", "OPTIONS"),
            allow_headers=("Authorization", "Content-Type", "Idempotency-Key", REQUEST_ID_HEADER),
            expose_headers=("Location", "Idempotency-Replayed", "Retry-After", "WWW-Authenticate", REQUEST_ID_HEADER),
        )
        self._origins = origins

    def is_allowed_origin(self, origin: str) -> bool:
        """Whether answers may be read by pages of this origin; those of the gateway's own origin need no permission."""
        return self._origins.lists(parse_origin(origin))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            headers = Headers(scope=scope)
            if "origin" in headers and "access-control-request-method" in headers:
                await self._preflight(scope)(scope, receive, send)
                return
        await super().__call__(scope, receive, send)

    def _preflight(self, scope: Scope) -> Response:
        answer = self.preflight_response(request_headers=Headers(scope=scope))
        if answer.status_code == HTTPStatus.OK:
            return answer
        reason = bytes(answer.body).decode()
        refusal = failure(Request(scope), ApiError(400, "cors_refused", reason))
        for name, value in answer.headers.items():
            if name.startswith("access-control-") or name == "vary":
                refusal.headers[name] = value
        return refusal


class Surroundings:
    """Binds the request id to the log, adds the headers of every answer, answers 500 to an unexpected exception."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given_id = request_id(scope)
        has_started = False

        async def complete(message: Message) -> None:
            nonlocal has_started
            if message["type"] == "http.response.start":
                has_started = True
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID_HEADER] = given_id
                for name, value in {**SECURITY_HEADERS, "Cache-Control": "no-store"}.items():
                    headers.setdefault(name, value)
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=given_id):
            try:
                await self._app(scope, receive, complete)
            except ClientDisconnect:
                log.info("request.abandoned", method=scope["method"], path=scope["path"])
            except Exception:
                log.exception("request.failed", method=scope["method"], path=scope["path"])
                if has_started:
                    raise
                error = ApiError(500, "internal_error", "the server failed; its log has more under this request id")
                await failure(Request(scope), error)(scope, receive, complete)


class DeclaredLengthLimit:
    """Refuses a body that is too large by its Content-Length, before the body is read."""

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        app = self._app
        if scope["type"] == "http" and self._is_too_large(Headers(scope=scope).get("Content-Length", "")):
            message = f"the body is larger than {self._max_body_bytes} bytes"
            app = refuse(Request(scope), ApiError(413, "payload_too_large", message))
        await app(scope, receive, send)

    def _is_too_large(self, declared: str) -> bool:
        return declared.isdecimal() and (len(declared) > _MAX_DIGITS or int(declared) > self._max_body_bytes)
