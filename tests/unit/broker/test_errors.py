"""The mapping of redis-py's errors."""

import pytest
from redis import exceptions as errors

from broker.errors import BrokerError, BrokerUnavailableError
from broker.redis.client import mapped


@pytest.mark.parametrize(
    "error",
    [
        errors.ConnectionError("gone"),
        errors.TimeoutError("slow"),
        errors.BusyLoadingError("loading"),
        errors.ReadOnlyError("a replica"),
        errors.OutOfMemoryError("full"),
        errors.ResponseError("MISCONF can't write to disk"),
        errors.ResponseError("NOGROUP no such group"),
        ConnectionRefusedError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_passes_is_unavailable(error: Exception) -> None:
    """What a retry can mend is told apart from the rest, and keeps its cause."""
    with pytest.raises(BrokerUnavailableError) as caught, mapped():
        raise error
    assert caught.value.__cause__ is error


def test_what_redis_refuses_for_good_is_a_broker_error() -> None:
    """A wrong command is no outage; nobody must wait for it to pass."""
    with pytest.raises(BrokerError, match="WRONGTYPE") as caught, mapped():
        raise errors.ResponseError("WRONGTYPE it is no stream")
    assert not isinstance(caught.value, BrokerUnavailableError)
