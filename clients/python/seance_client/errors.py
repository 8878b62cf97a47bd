"""Errors, named by condition. The client retries after every failure that may pass, and raises no error for it."""


class SeanceError(Exception):
    """Any error of this client."""


class UsageError(SeanceError):
    """The application uses the client wrongly: not connected yet, or connected twice."""


class NotConnectedError(SeanceError):
    """There is no connection now; the client is connecting."""


class ConnectTimeoutError(SeanceError):
    """No connection in time; `reason` is that of the last attempt."""


class EndedError(SeanceError):
    """The connection ended for good: `code` is the close code, or the HTTP status of the refusal."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{reason or 'the connection ended'} ({code})")
        self.code = code
        self.reason = reason


class LeftError(EndedError):
    """The application left or closed this client."""


class FrameTooLargeError(EndedError):
    """The gateway refused a frame because of its size (1009)."""


class BadJoinError(EndedError):
    """The join is not valid, such as a name that is too long (4500)."""


class UnauthorizedError(EndedError):
    """The token or the password is wrong, or the token has ended (4501); join again with another one."""


class ForbiddenError(EndedError):
    """The token does not allow this (4502), or the Origin is not allowed (HTTP 403)."""


class SessionNotFoundError(EndedError):
    """There is no such session (4503, HTTP 404)."""


class SessionClosedError(EndedError):
    """The session is closed (4504)."""


class SessionFullError(EndedError):
    """Every seat is taken (4505); a later try may succeed."""


class NameTakenError(EndedError):
    """Somebody in the session has this name (4506); choose another one."""


class RemovedError(EndedError):
    """The host removed this user (4507), who stays out for a time."""


class ReplacedError(EndedError):
    """A newer connection of the same user replaced this one (4508)."""


class AbuseError(EndedError):
    """This client sent too much, or too many malformed frames (4509)."""


class RefusedError(EndedError):
    """The server refused the upgrade with an HTTP status after which a retry can't help."""


class CommandError(SeanceError):
    """The gateway refused a command and stored nothing: `code` is the protocol's, `field` the invalid field."""

    def __init__(self, code: str, message: str, field: str | None = None) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message
        self.field = field


class InvalidMessageError(CommandError):
    """The text or the key is not valid; a repetition does not help."""


class NotStoredError(CommandError):
    """The message was delivered, but Postgres refuses it for good."""


class UnconfirmedError(SeanceError):
    """No answer came, and a repetition is not safe any more: the message may have been stored, or not.

    Either the gateways have forgotten the key (it is older than 5 minutes), or the session lost its state.
    """


class SendTimeoutError(SeanceError):
    """No answer in time. When `is_uncertain`, the message may have been stored; sending with the same key is safe."""

    def __init__(self, message: str, key: str, *, is_uncertain: bool) -> None:
        super().__init__(message)
        self.key = key
        self.is_uncertain = is_uncertain
