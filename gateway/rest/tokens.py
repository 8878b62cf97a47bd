"""The resource tokens: revokes tokens before their time."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from broker.events import instant
from broker.sessions.revocations import Claim
from gateway.access.authority import ADMINISTER
from gateway.access.revocations import MAX_REVOCATIONS, NotInForceError, TooManyRevocationsError
from gateway.errors import Detail
from gateway.rest.body import read_body
from gateway.rest.envelope import success
from gateway.rest.failures import unavailable
from gateway.rest.fields import TEXT_SCHEMA, invalid
from gateway.rest.operation import Operation
from gateway.rest.request import NoQuery, read_query
from gateway.rest.services import Services

_VALUE = Meta(min_length=1, max_length=255, extra_json_schema=TEXT_SCHEMA)


class RevokeTokens(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which tokens to revoke: exactly one of the two."""

    jti: Annotated[
        Annotated[str, _VALUE] | None,
        Meta(description="This token, and every token that continues it: a renewal keeps the `jti`."),
    ] = None
    sub: Annotated[
        Annotated[str, _VALUE] | None,
        Meta(description="Every token issued until now whose `sub` is this: a user's id, or the application's own id."),
    ] = None


class RevokedTokens(msgspec.Struct, frozen=True):
    """What is revoked, and until when: by then the tokens have ended by themselves."""

    jti: str | None
    sub: str | None
    until: Annotated[str, Meta(extra_json_schema={"format": "date-time"})]


async def revoke(request: Request, services: Services) -> Response:
    """POST /api/tokens/revoke."""
    read_query(request, NoQuery)
    body = await read_body(request, RevokeTokens)
    claim, value = _named(body)
    try:
        revocation = await services.revocations.revoke(claim, value)
    except TooManyRevocationsError as error:
        raise unavailable(f"{MAX_REVOCATIONS} revocations are in force, the most there can be") from error
    except NotInForceError as error:
        raise unavailable(f"{error}; repeat the request") from error
    return success(
        request, RevokedTokens(body.jti, body.sub, instant(datetime.fromtimestamp(revocation.expires_at, UTC)))
    )


def _named(body: RevokeTokens) -> tuple[Claim, str]:
    """The claim and its value. Raises ApiError 422."""
    if body.jti is not None and body.sub is None:
        return "jti", body.jti
    if body.sub is not None and body.jti is None:
        return "sub", body.sub
    raise invalid([Detail("jti", "give `jti` or `sub`, one of the two")])


OPERATIONS = (
    Operation(
        method="POST",
        path="/api/tokens/revoke",
        handler=revoke,
        summary="Revoke tokens before their time",
        description=(
            "Every gateway refuses the tokens within a second, and closes the sockets that were admitted by them with "
            "4501. Repeating the request is fine. `sub` covers tokens issued until now; the person may get new ones."
        ),
        answer=RevokedTokens,
        body=RevokeTokens,
        permission=ADMINISTER,
        errors=("unavailable",),
    ),
)
