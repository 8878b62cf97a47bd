"""Holds the callers of REST operations to the rates that the operations name."""

import hashlib

from starlette.requests import Request
from starlette.responses import Response

from gateway.access.claims import Scope
from gateway.access.door import address_of
from gateway.errors import ApiError
from gateway.limits.addresses import subject_of
from gateway.rest.operation import Handler, Operation
from gateway.rest.request import authorize, authorized_caller
from gateway.rest.services import Services

# A server has the limits of its token, since many people stand behind its address. Other tokens are people's, and
# everybody can get many of them.
_SERVERS: frozenset[Scope] = frozenset({"sessions:create", "host", "publish", "spirit", "admin"})


def guarded(operation: Operation) -> Handler:
    """The operation's handler, which runs only for callers who may do this, within the limits of the operation."""
    handler = operation.handler
    if operation.permission is None and not operation.limits:
        return handler

    async def checked(request: Request, services: Services) -> Response:
        await _check(request, services, operation)
        return await handler(request, services)

    return checked


async def _check(request: Request, services: Services, operation: Operation) -> None:
    """Authorize and count the caller. What is refused for its token counts for its address.

    Raises ApiError, and RateLimitedError, which becomes a 429.
    """
    has_token = "Authorization" in request.headers
    if not has_token:  # before a server is asked for this caller
        await spend(services, _address(request), *operation.limits)
    if operation.permission is not None:
        try:
            await authorize(request, services.authority, operation.permission)
        except ApiError:
            if has_token:
                await spend(services, _address(request), *operation.limits)
            raise
    if has_token:
        await spend(services, bucket_owner(request), *operation.limits)


async def spend(services: Services, owner: str, *limits: str) -> None:
    """Count a request in the owner's buckets of these limits. Raises RateLimitedError."""
    if limits:
        await services.limiter.spend(owner, dict.fromkeys(limits, owner))


def bucket_owner(request: Request) -> str:
    """In whose buckets an authorized request counts: those of a server's token, all its tokens together, or an address.

    A token that does not allow the operation is like none.
    """
    caller = authorized_caller(request)
    if caller.identity is None or caller.claims is None or caller.claims.scope not in _SERVERS:
        return _address(request)
    return "token:" + hashlib.sha256(caller.identity.encode()).hexdigest()[:32]


def _address(request: Request) -> str:
    return "address:" + subject_of(address_of(request))
