"""Who sees the pages for operators: `/metrics`, the references, and the details of `/health`."""

import functools

from starlette.requests import Request
from starlette.responses import Response

from gateway.access.authority import ADMINISTER
from gateway.access.origin_policy import is_admin_port
from gateway.errors import ApiError
from gateway.rest.operation import Handler
from gateway.rest.request import authorize
from gateway.rest.services import Services


async def is_operator(request: Request, services: Services) -> bool:
    """Whether the request may see them: outside production every request, else on ADMIN_PORT or by an `admin` token."""
    settings = services.settings
    if not settings.is_production or is_admin_port(request.scope, settings.admin_port):
        return True
    try:
        await authorize(request, services.authority, ADMINISTER)
    except ApiError:
        return False
    return True


def only_operators(handler: Handler) -> Handler:
    """The same handler for operators; 403 for everybody else."""

    @functools.wraps(handler)
    async def handle(request: Request, services: Services) -> Response:
        if not await is_operator(request, services):
            raise ApiError(403, "forbidden", "in production this needs ADMIN_PORT, or a token with scope `admin`")
        return await handler(request, services)

    return handle
