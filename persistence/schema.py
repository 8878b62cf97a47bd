"""Whose tables the schema of a database holds: ours, another application's, or none."""

import msgspec
from sqlalchemy import Connection, text

from persistence.errors import PersistenceError
from persistence.tables import Table

VERSION_TABLE = "seance_alembic_version"
# Alembic's usual name, which an earlier version of ours used, and which other applications use too.
_SHARED_VERSION_TABLE = "alembic_version"
# Constraints of our first migration: tables that have all of them are ours.
_PROOF = ("ck_sessions_presence_known", "ck_messages_seq_positive", "fk_users_session_id_sessions", "pk_messages")

_LOOK = text("""
SELECT current_schema() AS schema,
    coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create,
    array(
        SELECT relname::text FROM pg_class
        WHERE relnamespace = to_regnamespace(quote_ident(current_schema())) AND relkind IN ('r', 'p', 'v', 'm', 'f')
            AND NOT EXISTS (
                SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e')
        ORDER BY relname
    ) AS relations,
    (
        SELECT count(*) FROM pg_constraint
        WHERE connamespace = to_regnamespace(quote_ident(current_schema())) AND conname = ANY(:proof)
    ) AS proven
""")


class ForeignTablesError(PersistenceError):
    """The schema holds tables of another application under our names; nothing was changed."""


class Holdings(msgspec.Struct, frozen=True):
    """What a schema holds, without what extensions brought; `schema` is None where the search path leads nowhere.

    `is_ours` says that Séance made its tables here; `others` are the tables of anybody else.
    """

    schema: str | None
    may_create: bool
    is_ours: bool
    has_shared_version: bool
    others: tuple[str, ...]


def look(connection: Connection) -> Holdings:
    """What the first schema of the connection's search path holds."""
    row = connection.execute(_LOOK, {"proof": list(_PROOF)}).one()
    relations = set(row.relations)
    is_proven = row.proven == len(_PROOF)
    has_shared_version = is_proven and _SHARED_VERSION_TABLE in relations and VERSION_TABLE not in relations
    is_ours = VERSION_TABLE in relations or has_shared_version
    ours = {VERSION_TABLE, *Table.metadata.tables} if is_ours else set()
    if has_shared_version:
        ours.add(_SHARED_VERSION_TABLE)
    return Holdings(row.schema, row.may_create, is_ours, has_shared_version, tuple(sorted(relations - ours)))


def claim(connection: Connection, schema: str) -> None:
    """Make sure that the migrations change nobody else's tables; `schema` is made when it is missing.

    Takes over an installation that kept its revision in `alembic_version`. Raises ForeignTablesError, PersistenceError.
    """
    if schema and connection.execute(text("SELECT to_regnamespace(:name)"), {"name": schema}).scalar_one() is None:
        connection.execute(text(f'CREATE SCHEMA "{schema}"'))
    held = look(connection)
    if held.schema is None:
        raise PersistenceError("the role's search path leads to no schema: name one in DATABASE_SCHEMA")
    if held.has_shared_version:
        _take_over(connection)
    clashing = [name for name in held.others if name in Table.metadata.tables]
    if not held.is_ours and clashing:
        raise ForeignTablesError(
            f"the schema {held.schema} holds tables of another application under Séance's names "
            f"({', '.join(clashing)}); nothing was changed. Give Séance a schema of its own: DATABASE_SCHEMA=seance"
        )
    if not held.may_create:
        raise PersistenceError(
            f"the role may not create tables in the schema {held.schema}: "
            "name a schema of its own in DATABASE_SCHEMA, or grant CREATE on that one"
        )


def _take_over(connection: Connection) -> None:
    """Rename the version table, which is ours alone when it has one revision. Raises ForeignTablesError."""
    count = connection.execute(
        text(f"SELECT count(*) FROM {_SHARED_VERSION_TABLE}")  # noqa: S608 - a constant
    ).scalar_one()
    if count != 1:
        raise ForeignTablesError(
            f"{_SHARED_VERSION_TABLE} holds {count} revisions and not Séance's alone; nothing was changed"
        )
    for statement in (
        f"ALTER TABLE {_SHARED_VERSION_TABLE} RENAME TO {VERSION_TABLE}",
        f"ALTER TABLE {VERSION_TABLE} RENAME CONSTRAINT {_SHARED_VERSION_TABLE}_pkc TO {VERSION_TABLE}_pkc",
    ):
        connection.execute(text(statement))
