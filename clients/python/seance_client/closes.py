"""The close codes of the protocol and the HTTP refusals as data: what the client does after each."""

from enum import Enum

from seance_client import errors
from seance_client.errors import EndedError

LEFT, NO_CLOSE_FRAME, RESYNC, UNAUTHORIZED = 1000, 1006, 4003, 4501
_TOO_LARGE = 1009
WITHOUT_CODE = frozenset({1005, NO_CLOSE_FRAME})
_STOP_CODES = range(4500, 5000)
_SERVER_ERRORS = range(500, 600)
_REPEATABLE_REFUSALS = frozenset({408, 425, 429})
# An earlier join of this client, whose welcome never came, may hold the seat or the name.
SEAT_CODES = frozenset({4505, 4506, 4508})


class Reaction(Enum):
    """What to do when a connection ends."""

    STOP = "stop"
    BACK_OFF = "back off, then reconnect"
    AT_ONCE = "reconnect at once"


_ERRORS: dict[int, type[EndedError]] = {
    LEFT: errors.LeftError,
    _TOO_LARGE: errors.FrameTooLargeError,
    403: errors.ForbiddenError,
    404: errors.SessionNotFoundError,
    4500: errors.BadJoinError,
    UNAUTHORIZED: errors.UnauthorizedError,
    4502: errors.ForbiddenError,
    4503: errors.SessionNotFoundError,
    4504: errors.SessionClosedError,
    4505: errors.SessionFullError,
    4506: errors.NameTakenError,
    4507: errors.RemovedError,
    4508: errors.ReplacedError,
    4509: errors.AbuseError,
}
# The `error` before a close has the same name; it gives the reason when the close frame is lost.
CODES_BY_NAME: dict[str, int] = {
    "internal_error": 1011,
    "restart": 1012,
    "slow_consumer": 4000,
    "heartbeat_lost": 4001,
    "unavailable": 4002,
    "resync": RESYNC,
    "rate_limited": 4004,
    "bad_join": 4500,
    "unauthorized": UNAUTHORIZED,
    "forbidden": 4502,
    "session_not_found": 4503,
    "session_closed": 4504,
    "session_full": 4505,
    "name_taken": 4506,
    "removed": 4507,
    "replaced": 4508,
    "abuse": 4509,
}


def reaction_to_close(code: int) -> Reaction:
    """What to do after this close code; after an undefined code the client tries again."""
    if code in {LEFT, _TOO_LARGE} or code in _STOP_CODES:
        return Reaction.STOP
    return Reaction.AT_ONCE if code == RESYNC else Reaction.BACK_OFF


def reaction_to_refusal(status: int) -> Reaction:
    """What to do when the answer to the upgrade has this HTTP status."""
    if status in _SERVER_ERRORS or status in _REPEATABLE_REFUSALS:
        return Reaction.BACK_OFF
    return Reaction.STOP


def error_of(code: int, reason: str) -> EndedError:
    """The typed error for a close code or an HTTP status that ends the client."""
    default = EndedError if code in _STOP_CODES else errors.RefusedError
    return _ERRORS.get(code, default)(code, reason)
