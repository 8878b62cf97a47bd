"""The mapping of the drivers' errors."""

import asyncpg
import pytest
from asyncpg.exceptions import _base
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from persistence.errors import DatabaseUnavailableError, DataError, PersistenceError, mapped

SECRET = "what Ana wrote"


def violation() -> asyncpg.PostgresError:
    """A foreign key violation as asyncpg makes it from Postgres' answer."""
    fields = {"S": "ERROR", "C": "23503", "M": "violates", "D": SECRET, "n": "fk_messages_session_id_sessions"}
    return asyncpg.PostgresError.new(fields)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (violation(), "foreign key violation: fk_messages_session_id_sessions"),
        (asyncpg.CharacterNotInRepertoireError(SECRET), "character not in repertoire"),
        (_base.DataError(f"invalid input for query argument $1: {SECRET}"), "a value does not fit its column's type"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_of_the_values_is_a_data_error(error: Exception, reason: str) -> None:
    """The reason names the condition and never a value."""
    with pytest.raises(DataError) as caught, mapped():
        raise error
    assert caught.value.reason == str(caught.value) == reason
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError("refused"),
        TimeoutError(),
        PoolTimeoutError("pool"),
        asyncpg.AdminShutdownError("terminating"),
        asyncpg.CannotConnectNowError("starting up"),
        asyncpg.TooManyConnectionsError("too many"),
        asyncpg.DiskFullError("disk"),
        asyncpg.DeadlockDetectedError("deadlock"),
        asyncpg.ReadOnlySQLTransactionError("standby"),
        asyncpg.InvalidPasswordError("password"),
        asyncpg.InvalidCatalogNameError("no database"),
        asyncpg.ConnectionDoesNotExistError("closed in the middle"),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InternalClientError("protocol"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_the_server_is_unavailable(error: Exception) -> None:
    """Nothing that passes is ever blamed on the data, or messages would be given up."""
    with pytest.raises(DatabaseUnavailableError) as caught, mapped():
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [asyncpg.UndefinedTableError("no table"), asyncpg.InsufficientPrivilegeError("no")])
def test_any_other_error_is_neither_data_nor_outage(error: Exception) -> None:
    """A missing table is neither wrong data nor an outage, and the error names it."""
    with pytest.raises(PersistenceError, match="no") as caught, mapped():
        raise error
    assert not isinstance(caught.value, DataError | DatabaseUnavailableError)
