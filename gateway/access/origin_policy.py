"""Checks of every request's Host and Origin, before anything else looks at the request."""

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import Scope

from gateway.access.hosts import AllowedHosts, Host, parse_host
from gateway.access.origins import AllowedOrigins, Origin, parse_origin
from gateway.errors import ApiError
from gateway.settings import Settings

# Balancers, supervisors and Prometheus name a gateway by its address, and the answers hold nothing of a session.
PROBED = frozenset({"/live", "/ready", "/health", "/metrics"})


class OriginPolicy:
    """What ALLOWED_HOSTS, CORS_ORIGINS and the address to listen on say about Host and Origin."""

    def __init__(self, settings: Settings) -> None:
        self.origins = AllowedOrigins.of(settings.origins)
        self._hosts = AllowedHosts.of(settings.hosts, only_local=settings.serves_only_this_machine)
        self._admin_port = settings.admin_port

    def check(self, request: HTTPConnection) -> None:
        """Check the Host, and that the Origin is one. Raises ApiError: 400, 403 or 421."""
        self._checked_host(request.scope)
        _given_origin(request.headers)

    def check_upgrade(self, request: HTTPConnection) -> None:
        """Check the Host, and that a page of this Origin may connect. Raises ApiError: 400, 403 or 421."""
        host = self._checked_host(request.scope)
        origin = _given_origin(request.headers)
        if origin is not None and not self.origins.allows(origin, host):
            raise ApiError(403, "forbidden", "this Origin is neither the gateway's own nor among CORS_ORIGINS")

    def _checked_host(self, scope: Scope) -> Host | None:
        given = Headers(scope=scope).getlist("host")
        host = parse_host(given[0]) if len(given) == 1 else None
        if (given and host is None) or (not given and scope.get("http_version") == "1.1"):
            raise ApiError(400, "malformed_request", "a request has one Host header, with a name and perhaps a port")
        if self._hosts.allows(host):
            return host
        is_probe = scope["path"] in PROBED or is_admin_port(scope, self._admin_port)
        if is_probe and (host is None or host.is_local):
            return host
        name = "a request without Host" if host is None else host.name
        raise ApiError(
            421, "misdirected_request", f"{name} is not among ALLOWED_HOSTS; add the name there, or ask another way"
        )


def is_admin_port(scope: Scope, admin_port: int) -> bool:
    """Whether the request came in on ADMIN_PORT."""
    server = scope.get("server")
    return bool(admin_port) and server is not None and server[1] == admin_port


def _given_origin(headers: Headers) -> Origin | None:
    """The request's Origin; None when there is none. Raises ApiError 403."""
    given = headers.getlist("origin")
    if not given:
        return None
    origin = parse_origin(given[0]) if len(given) == 1 else None
    if origin is None:
        raise ApiError(403, "forbidden", "a request has at most one Origin, of the form scheme://host:port or null")
    return origin
