"""Holds the callers of REST operations to the rates that the operations name."""

import hashlib

from starlette.requests import Request
from starlette.responses import Response

from gateway.access.door import address_of
from gateway.errors import ApiError
from gateway.limits.addresses import subject_of
from gateway.rest.operation import Handler, Operation
from gateway.rest.services import Services


def limited(operation: Operation, handler: Handler) -> Handler:
    """The handler, which runs only for callers within the limits of the operation.

    Every limited operation goes through here; a request that is refused for its token counts for its address too, so
    that invented tokens help nobody.
    """
    if not operation.limits:
        return handler

    async def within_limits(request: Request, services: Services) -> Response:
        owner, address = bucket_owner(request), _address(request)
        await spend(services, owner, *operation.limits)
        try:
            return await handler(request, services)
        except ApiError as error:
            if error.status == 401 and owner != address:  # noqa: PLR2004 - unauthorized
                await spend(services, address, *operation.limits)
            raise

    return within_limits


async def spend(services: Services, owner: str, *limits: str) -> None:
    """Count a request in the owner's buckets of these limits. Raises RateLimitedError, which becomes a 429."""
    await services.limiter.spend(owner, dict.fromkeys(limits, owner))


def bucket_owner(request: Request) -> str:
    """In whose buckets the request counts: its token's, if it has one, or its address's.

    The token is known by its hash, because it is not verified yet.
    """
    token = request.headers.get("Authorization")
    if token is None:
        return _address(request)
    return "token:" + hashlib.sha256(token.encode()).hexdigest()[:32]


def _address(request: Request) -> str:
    return "address:" + subject_of(address_of(request))
