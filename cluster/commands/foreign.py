"""Asks before Séance makes its tables in a database that another application uses."""

from cluster.commands.context import agree
from cluster.console.counted import counted
from gateway.settings import Settings
from persistence.address import parse

# So many of the other application's tables are named.
_NAMED = 3


def ask_before_sharing(settings: Settings) -> None:
    """Return when the schema is ours or empty, when somebody agrees, or when the database does not answer.

    A database that does not answer is told of by the start itself. Raises FailedError.
    """
    from cluster import database, migrate

    try:
        held = migrate.holdings(settings.database_url, **database.place(settings))
    except migrate.MigrationError:
        return
    if held.is_ours or not held.others:
        return
    names = ", ".join(held.others[:_NAMED]) + (", …" if len(held.others) > _NAMED else "")
    tables = counted(len(held.others), "table")
    agree(
        f"DATABASE_URL leads to {parse(settings.database_url).shown}, whose schema {held.schema} holds {tables} of "
        f"another application ({names}). Séance would make its own tables beside them; DATABASE_SCHEMA=seance would "
        "keep them apart.",
        flag="--share-database",
    )
