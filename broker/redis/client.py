"""Redis through redis-py, for what is not on the hot path: a client with explicit timeouts, and its errors mapped."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files

from redis import exceptions as errors
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript

from broker.errors import BrokerError, BrokerUnavailableError

# Redis answers, and what it says will pass or be mended: a failover, a full memory, a disk that can't be written.
_PASSING = (
    errors.ClusterDownError,
    errors.MasterDownError,
    errors.OutOfMemoryError,
    errors.ReadOnlyError,
    errors.TryAgainError,
)
_PASSING_CODES = ("MISCONF", "NOREPLICAS", "UNBLOCKED")


def connect(url: str, *, timeout_seconds: float, name: str) -> Redis:
    """A client that connects when it is first used; the caller closes it.

    It repeats no command: a read whose answer was lost has delivered its entries, and must be followed by another look
    at what is pending.
    """
    return Redis.from_url(
        url,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=Retry(NoBackoff(), 0),
        client_name=name,
        # XREADGROUP answers {stream: [(id, fields), …]}, whatever the protocol.
        legacy_responses=False,
    )


@contextmanager
def mapped() -> Iterator[None]:
    """Run a piece of Redis work; whatever redis-py raises inside leaves as one of the package's errors."""
    try:
        yield
    except (errors.ConnectionError, errors.TimeoutError, OSError) as exc:
        raise BrokerUnavailableError(f"Redis is not reachable: {exc}") from exc
    except errors.RedisError as exc:
        if isinstance(exc, _PASSING) or str(exc).startswith(_PASSING_CODES):
            raise BrokerUnavailableError(f"Redis refuses to work: {exc}") from exc
        if isinstance(exc, errors.ResponseError) and str(exc).startswith("NOGROUP"):
            raise BrokerUnavailableError("Redis lost its data: a consumer group is gone") from exc
        raise BrokerError(str(exc)) from exc


def raise_if_cancelled() -> None:
    """Raise the CancelledError that redis-py 8.1 swallows when a task is cancelled while it connects.

    For loops that end by cancellation: without this they would go on for ever.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def script(redis: Redis, *names: str) -> AsyncScript:
    """The script `lua/<name>.lua`, or several in a row, loaded when Redis does not know it."""
    folder = files("broker") / "lua"
    return redis.register_script("".join((folder / f"{name}.lua").read_text() for name in names))
