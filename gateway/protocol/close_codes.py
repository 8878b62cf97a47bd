"""The close codes of the wire contract (docs/protocol.md), as data.

Codes 4000-4499 and 1012 tell the client to reconnect, 4500-4999 not to. The gateway sends an `error` event with the
same name before every 4xxx close, because a browser may see only 1006.
"""

import msgspec


class Ending(msgspec.Struct, frozen=True):
    """A close code, its name, the message for the client, and how long the client should wait if that is known."""

    code: int
    name: str
    message: str
    retry_after_ms: int | None = None

    @property
    def is_retryable(self) -> bool:
        """Whether the client should reconnect."""
        return 4000 <= self.code < 4500 or self.code == 1012  # noqa: PLR2004 - the ranges of the contract

    @property
    def has_error(self) -> bool:
        """Whether an `error` event with the same name comes before the close."""
        return self.code >= 4000  # noqa: PLR2004 - the ranges of the contract

    def saying(self, message: str) -> "Ending":
        """A copy of this ending with another message."""
        return msgspec.structs.replace(self, message=message)

    def after(self, milliseconds: int) -> "Ending":
        """A copy of this ending that tells the client to wait for so long."""
        return msgspec.structs.replace(self, retry_after_ms=milliseconds)


LEFT = Ending(1000, "left", "you left")
RESTART = Ending(1012, "restart", "this gateway is restarting; reconnect and resume")
INTERNAL = Ending(1011, "internal_error", "something went wrong here; reconnect and resume")
SLOW_CONSUMER = Ending(4000, "slow_consumer", "you read too slowly; reconnect and resume to get what you missed")
HEARTBEAT_LOST = Ending(4001, "heartbeat_lost", "two pings were not answered; reconnect and resume")
UNAVAILABLE = Ending(4002, "unavailable", "the session can't be reached right now; reconnect in a moment")
RESYNC = Ending(4003, "resync", "events may be missing; reconnect at once and resume")
RATE_LIMITED = Ending(4004, "rate_limited", "you come too often; reconnect after `retry_after_ms`")
BAD_JOIN = Ending(4500, "bad_join", 'the first frame must be {"type": "join", ...}')
UNAUTHORIZED = Ending(4501, "unauthorized", "the token or password is not valid")
FORBIDDEN = Ending(4502, "forbidden", "this token does not admit to this session")
SESSION_NOT_FOUND = Ending(4503, "session_not_found", "there is no such session")
SESSION_CLOSED = Ending(4504, "session_closed", "the session is closed")
SESSION_FULL = Ending(4505, "session_full", "every seat of the session is taken")
NAME_TAKEN = Ending(4506, "name_taken", "somebody here has this name, or one that looks like it; choose another")
REMOVED = Ending(4507, "removed", "the host removed you from the session")
REPLACED = Ending(4508, "replaced", "you connected again elsewhere")
ABUSE = Ending(4509, "abuse", "too many malformed frames")

ALL = (
    LEFT,
    RESTART,
    INTERNAL,
    SLOW_CONSUMER,
    HEARTBEAT_LOST,
    UNAVAILABLE,
    RESYNC,
    RATE_LIMITED,
    BAD_JOIN,
    UNAUTHORIZED,
    FORBIDDEN,
    SESSION_NOT_FOUND,
    SESSION_CLOSED,
    SESSION_FULL,
    NAME_TAKEN,
    REMOVED,
    REPLACED,
    ABUSE,
)
