"""Everything that can go wrong for good, by condition. What time mends is retried and raises nothing."""


class SeanceError(Exception):
    """Any error of this client."""


class UsageError(SeanceError):
    """The client is used in a way that can't work: not connected yet, or connected twice."""


class NotConnectedError(SeanceError):
    """There is no connection right now; the client is about to make one."""


class ConnectTimeoutError(SeanceError):
    """No connection came about in time; `reason` is that of the last attempt."""


class EndedError(SeanceError):
    """The connection ended and is not made again: `code` is the close code, or the HTTP status of the refusal."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{reason or 'the connection ended'} ({code})")
        self.code = code
        self.reason = reason


class LeftError(EndedError):
    """This client has left, or was closed here."""


class FrameTooLargeError(EndedError):
    """The gateway refused a frame for its size (1009)."""


class BadJoinError(EndedError):
    """The join is not valid, such as a name that is too long (4500)."""


class UnauthorizedError(EndedError):
    """The token or the password is not good (4501); join again with another one."""


class ForbiddenError(EndedError):
    """The token is for something else (4502), or the Origin is not allowed (HTTP 403)."""


class SessionNotFoundError(EndedError):
    """There is no such session (4503, HTTP 404)."""


class SessionClosedError(EndedError):
    """The session is closed for good (4504)."""


class SessionFullError(EndedError):
    """Every seat is taken (4505); a later try may succeed."""


class NameTakenError(EndedError):
    """Somebody in the session has this name (4506); choose another one."""


class RemovedError(EndedError):
    """The host removed this user (4507)."""


class ReplacedError(EndedError):
    """The same user connected again elsewhere (4508)."""


class AbuseError(EndedError):
    """Too many malformed frames (4509)."""


class RefusedError(EndedError):
    """The upgrade was refused with an HTTP status that no repetition mends."""


class CommandError(SeanceError):
    """The gateway refused a command and stored nothing: `code` is the protocol's, `field` the one to blame."""

    def __init__(self, code: str, message: str, field: str | None = None) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message
        self.field = field


class InvalidMessageError(CommandError):
    """The text or the key is not valid; repeating it does not help."""


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
