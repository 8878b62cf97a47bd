"""Opens the connections of an engine so that they work directly, and behind a pooler of sessions or of transactions."""

import asyncpg
import structlog

from persistence.address import Address, Pooler
from persistence.connections import PooledConnection
from persistence.dial import Connection, ask, dial, terminated_on_error
from persistence.errors import PersistenceError

# What a pooler answers to a setting in the first message that it does not pass on.
_UNKNOWN_SETTING = "unsupported startup parameter"

log = structlog.get_logger()


class Connector:
    """Opens each connection of one engine.

    With the mode `auto` the first connection finds out whether a pooler is in between. Behind a pooler the connector
    does what one of transactions needs, which is right for one of sessions too: nothing is kept between transactions.
    """

    def __init__(
        self, address: Address, *, schema: str, pooler: Pooler, timeout_seconds: float, connect_seconds: float | None
    ) -> None:
        self._address = address
        self._schema = schema
        self._timeout_seconds = timeout_seconds
        self._connect_seconds = connect_seconds
        self._is_transactional = pooler == "transaction" or (pooler == "auto" and address.has_pooler)
        self._is_session = pooler == "session"
        self._is_known = pooler != "auto" or address.has_pooler
        # A process that is stopped in the middle of a transaction must not keep its locks for ever.
        self._settings = {"idle_in_transaction_session_timeout": str(round(timeout_seconds * 1000))}
        if schema:
            self._settings["search_path"] = schema

    async def open(self) -> Connection:
        """A new connection, for SQLAlchemy's pool. Raises what `dial` raises, and PersistenceError."""
        if self._is_transactional:
            return await self._open_for_transactions()
        if self._is_session:
            return await self._open_session()
        try:
            connection = await self._dial(self._settings)
        except asyncpg.ProtocolViolationError as error:
            if _UNKNOWN_SETTING not in str(error):
                raise
        else:
            with terminated_on_error(connection):
                if self._is_known or not await _has_pooler(connection):
                    self._is_known = True
                    return connection
            connection.terminate()
        log.info("database.pooler_found", mode="transaction")
        self._is_transactional = True
        return await self._open_for_transactions()

    async def _open_for_transactions(self) -> Connection:
        # Without its cache, asyncpg gives statements no names, under which another client's would be found.
        connection = await self._dial({}, has_statement_cache=False)
        with terminated_on_error(connection):
            if self._schema and await ask(connection, "SHOW search_path") not in {self._schema, f'"{self._schema}"'}:
                raise PersistenceError(
                    "a pooler of transactions can't apply DATABASE_SCHEMA: give it to the role, with "
                    f"`ALTER ROLE … IN DATABASE … SET search_path = {self._schema}`"
                )
        return connection

    async def _open_session(self) -> Connection:
        connection = await self._dial({})
        with terminated_on_error(connection):
            await connection.execute("; ".join(f"SET {name} = {value}" for name, value in self._settings.items()))
        return connection

    async def _dial(self, settings: dict[str, str], *, has_statement_cache: bool = True) -> Connection:
        return await dial(
            self._address,
            timeout_seconds=self._timeout_seconds,
            connect_seconds=self._connect_seconds,
            server_settings=settings,
            has_statement_cache=has_statement_cache,
            connection_class=PooledConnection,
        )


async def _has_pooler(connection: Connection) -> bool:
    """Whether something in between made up the number of the server's process, as every pooler does."""
    return bool(await ask(connection, "SELECT pg_backend_pid()") != connection.get_server_pid())
