"""Checks before the upgrade: the drain, Host and Origin, the number of sockets."""

import resource
from contextlib import AbstractAsyncContextManager, nullcontext

from starlette.requests import HTTPConnection

from gateway.access.address_sockets import AddressSockets
from gateway.access.origin_policy import OriginPolicy
from gateway.errors import ApiError
from gateway.settings import Settings

# Files that a gateway needs besides its sockets: servers, links, the database pool, logs.
FILES_RESERVED = 128


class Door:
    """Counts the sockets of this gateway, and refuses requests before the upgrade."""

    def __init__(self, settings: Settings, addresses: AddressSockets | None = None) -> None:
        self._policy = OriginPolicy(settings)
        self._addresses = addresses
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._limit = settings.max_connections or max(soft - FILES_RESERVED, 1)
        self.sockets = 0
        self._is_draining = False

    @property
    def is_draining(self) -> bool:
        """Whether upgrades are refused because this gateway drains."""
        return self._is_draining

    def begin_draining(self) -> None:
        """Refuse upgrades from now on."""
        self._is_draining = True

    def check(self, request: HTTPConnection) -> None:
        """Check a request before the upgrade. Raises ApiError: 400, 403, 421 or 503."""
        if self._is_draining:
            raise ApiError(503, "unavailable", "this gateway is draining", headers={"Retry-After": "1"})
        self._policy.check_upgrade(request)
        if self.sockets >= self._limit:
            raise ApiError(503, "unavailable", "this gateway is full", headers={"Retry-After": "5"})

    def upgrading(self, request: HTTPConnection) -> AbstractAsyncContextManager[None]:
        """Count a socket for its address while it is upgraded. Entering raises ApiError 429."""
        return nullcontext() if self._addresses is None else self._addresses.upgrading(address_of(request))

    def opened(self, address: str) -> None:
        """Count a socket that was opened."""
        self.sockets += 1
        if self._addresses is not None:
            self._addresses.opened(address)

    def closed(self, address: str) -> None:
        """Uncount a socket that was closed."""
        self.sockets -= 1
        if self._addresses is not None:
            self._addresses.closed(address)


def address_of(request: HTTPConnection) -> str:
    """The client's address, from the trusted proxies' X-Forwarded-For; empty when it is unknown."""
    return request.client.host if request.client is not None else ""
