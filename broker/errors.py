"""Errors of everything Redis, named by condition; drivers' exceptions are mapped to these once, at the boundary."""


class BrokerError(Exception):
    """Something about Redis went wrong; every error of this package is one."""


class BrokerUnavailableError(BrokerError):
    """Redis can't be reached, refuses to work for now, or the link broke before it answered. Retry with backoff."""


class BacklogFullError(BrokerError):
    """The partition holds MAX_BACKLOG entries that Postgres has not seen yet. Nothing was stored; retry later."""


class LeaseMissingError(BrokerUnavailableError):
    """The gateway's lease has expired, or is not taken yet: it may hold no seats. The next beat takes it."""


class SessionUnknownError(BrokerError):
    """Redis holds no hot state for this session. Load it from Postgres (`open`), then repeat the call."""


class SessionClosedError(BrokerError):
    """The session is closed; nothing can be published or joined any more."""


class SessionFullError(BrokerError):
    """Every seat of the session is taken."""


class NameTakenError(BrokerError):
    """Another user of the session holds this name (compared without regard to case)."""


class UserRemovedError(BrokerError):
    """The host removed this user; their tokens no longer admit."""


class NotSeatedError(BrokerError):
    """The user holds no seat (any more) under this connection."""


class PartitionsMismatchError(BrokerError):
    """Redis holds data made with another number of partitions. Set PARTITIONS to that number."""


# The first words of error replies that will pass or be mended: Redis loads its data, is no longer the master, has no
# memory left or no disk to write to, or runs a script.
_PASSING = frozenset(
    {
        *("BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF"),
        *("NOREPLICAS", "OOM", "READONLY", "TRYAGAIN", "UNBLOCKED"),
    }
)


def refusal(reply: str) -> BrokerError:
    """The error that an error reply of Redis stands for."""
    if reply.partition(" ")[0] in _PASSING:
        return BrokerUnavailableError(f"Redis refuses to work: {reply}")
    return BrokerError(reply)
