"""Errors of everything Postgres, named by condition; `mapped` translates every driver's exception to them."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

# SQLSTATE classes, see the appendix "PostgreSQL Error Codes" of its manual: the values are at fault (cardinality, data,
# integrity).
_DATA_CLASSES = ("21", "22", "23")
# The server or the way to it is at fault: connection, authorisation, no such database, conflict of transactions,
# resources, operator intervention, system; a standby that was asked to write; a lock that was not available.
_SERVER_CLASSES = ("08", "28", "3D", "40", "53", "57", "58", "25006", "55P03")


# Of these, the server's own words are repeated: they tell why it refuses a connection, and never hold a row's values.
_TELLING_CLASSES = ("08", "28", "3D", "53", "57P", "25006")
# Serialization failure and deadlock.
_CONFLICTS = ("40001", "40P01")
# No such schema, column or table.
_MISSING = ("3F000", "42703", "42P01")


class PersistenceError(Exception):
    """The base of every error of this package.

    Raised itself for what is neither the data's nor the connection's fault, such as a missing permission.
    """


class NotMigratedError(PersistenceError):
    """A table or a column of this version is missing: run `seance migrate`."""


class DatabaseUnavailableError(PersistenceError):
    """Postgres can't be reached, is shutting down, or did not answer in time. Retry with backoff."""


class ConflictError(DatabaseUnavailableError):
    """Another transaction came in between, and this one was undone: the same transaction succeeds when repeated."""


class DataError(PersistenceError):
    """Postgres refuses these values for good: a constraint, a foreign key, a character that no text may hold.

    `reason` names the condition and the constraint, and never holds a value.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class InvalidFieldError(PersistenceError):
    """A value that a caller gave is out of its range; nothing was sent to Postgres."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field} {message}")
        self.field = field
        self.message = message


@contextmanager
def mapped() -> Iterator[None]:
    """Run a piece of database work; an exception of a driver inside leaves as one of the errors above."""
    try:
        yield
    except DBAPIError as exc:
        raise translate(exc.driver_exception) from exc
    except PoolTimeoutError as exc:
        raise DatabaseUnavailableError("no connection of the pool became free in time") from exc
    except (
        SQLAlchemyError,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
        OSError,
    ) as exc:
        raise translate(exc) from exc


def translate(error: BaseException) -> PersistenceError:
    """The error of this package for a driver's. Messages that could hold values are left out."""
    match error:
        case asyncpg.PostgresError():
            return _translate_reply(error)
        case asyncpg.ClientConfigurationError():
            return DatabaseUnavailableError(f"DATABASE_URL can't be used: {error.args[0]}")
        case TimeoutError():
            return DatabaseUnavailableError("no answer in time")
        # asyncpg refuses to encode a value; its message quotes the value.
        case asyncpg.InterfaceError() if isinstance(error, ValueError):
            return DataError("a value does not fit its column's type")
        case asyncpg.InterfaceError() | asyncpg.InternalClientError() | OSError():
            return DatabaseUnavailableError(f"{_condition(error)}: {error}" if str(error) else _condition(error))
    return PersistenceError(_condition(error))


def _translate_reply(error: asyncpg.PostgresError) -> PersistenceError:
    state = error.sqlstate or ""
    condition = _condition(error)
    if state.startswith(_DATA_CLASSES):
        constraint = getattr(error, "constraint_name", None)
        return DataError(f"{condition}: {constraint}" if constraint else condition)
    if state.startswith(_SERVER_CLASSES):
        told = f": {error.args[0]}" if state.startswith(_TELLING_CLASSES) and error.args else ""
        kind = ConflictError if state in _CONFLICTS else DatabaseUnavailableError
        return kind(f"{condition} ({state}){told}")
    if state in _MISSING:
        return NotMigratedError(f"{condition}: {error.args[0]}; run `seance migrate`")
    return PersistenceError(f"{condition}: {error}")


def _condition(error: BaseException) -> str:
    """`ForeignKeyViolationError` → `foreign key violation`."""
    name = type(error).__name__.removesuffix("Error")
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()
