"""Errors of everything Redis, named by condition; `translate` maps error replies and exceptions of drivers to them."""

import re


class BrokerError(Exception):
    """The base of every error of this package."""


class BrokerUnavailableError(BrokerError):
    """Redis can't be reached, refuses to work for now, or closed the connection before it answered. Retry later."""


class NotPrimaryError(BrokerUnavailableError):
    """This Redis is a replica, as after a failover: the primary is elsewhere. The link drops the connection."""


class BacklogFullError(BrokerError):
    """The partition holds MAX_BACKLOG entries that Postgres has not seen yet: no message, no new seat. Retry."""


class SessionBacklogFullError(BacklogFullError):
    """Messages of this session with MAX_SESSION_BACKLOG_BYTES in all wait for Postgres: no message. Retry."""


class RateLimitedError(BrokerError):
    """The limit `what` (as the metrics name it) is reached; nothing was done. Retry after `retry_after_ms`."""

    def __init__(self, what: str, retry_after_ms: int) -> None:
        super().__init__(f"too often; retry in {retry_after_ms} ms")
        self.what = what
        self.retry_after_ms = retry_after_ms


class LeaseMissingError(BrokerUnavailableError):
    """The gateway's lease has expired, or is not taken yet; without it no seat is held. The next renewal takes it."""


class SessionUnknownError(BrokerError):
    """Redis holds no hot state for this session. Load it from Postgres (`open`), then repeat the call."""


class SessionClosedError(BrokerError):
    """The session is closed; publishing and joining are refused for good."""


class SessionFullError(BrokerError):
    """Every seat of the session is taken."""


class NameTakenError(BrokerError):
    """Another user of the session holds this name (compared without regard to case)."""


class UserRemovedError(BrokerError):
    """The host removed this user, whose tokens no longer admit."""


class UserBannedError(BrokerError):
    """The host removed a person with this name or address a short time ago; nobody gets a new seat by it now."""


class NotSeatedError(BrokerError):
    """The user holds no seat, or holds it under another connection."""


class PartitionsMismatchError(BrokerError):
    """Redis holds data made with another number of partitions. Set PARTITIONS to that number."""


class InstallationMismatchError(BrokerError):
    """Redis and Postgres belong to two installations. Correct an address, or bind both anew with `seance adopt`."""


# What waiting can't mend: the configuration is wrong.
MISCONFIGURED = (PartitionsMismatchError, InstallationMismatchError)

_REFUSES = "Redis refuses to work"
# The first word of every error reply that a retry or an operator can mend, and what our error says about it.
_PASSING = {
    # Redis loads its data, runs a script, or has no memory, disk or replica to write to.
    "BUSY": _REFUSES,
    "CLUSTERDOWN": _REFUSES,
    "LOADING": _REFUSES,
    "MISCONF": _REFUSES,
    "NOREPLICAS": _REFUSES,
    "OOM": _REFUSES,
    "TRYAGAIN": _REFUSES,
    "NOGROUP": "Redis lost its data, a consumer group is gone",
    "NOAUTH": "Redis refuses the password",
    "WRONGPASS": "Redis refuses the password",
    "NOPROTO": "Redis does not speak RESP3, which needs version 6 or newer",
}
# A replica refuses a write, has lost its primary, or became a replica while a command waited.
_NOT_PRIMARY = frozenset({"READONLY", "MASTERDOWN", "UNBLOCKED"})
# Redis 6 quotes the error of a command in a script: "ERR Error running script (call to f_…): …: -OOM command not …".
_CODE = re.compile(r"(?:ERR Error running script .*?: -)?([A-Z]+)")


def translate(error: Exception) -> BrokerError:
    """The error of this package for an error reply of Redis (hiredis.ReplyError), an OSError or a TimeoutError."""
    match error:
        case TimeoutError():
            return BrokerUnavailableError("Redis is not reachable: no answer in time")
        case OSError():
            return BrokerUnavailableError(f"Redis is not reachable: {error}")
    reply = str(error)
    found = _CODE.match(reply)
    code = "" if found is None else found[1]
    if code in _NOT_PRIMARY:
        return NotPrimaryError(f"Redis is not the primary: {reply}")
    meaning = _PASSING.get(code)
    return BrokerError(reply) if meaning is None else BrokerUnavailableError(f"{meaning}: {reply}")
