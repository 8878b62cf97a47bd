"""A subclass of uvicorn's server that drains before it closes, and leaves the exit code to its caller."""

import asyncio
import signal
import socket
from types import FrameType
from typing import Any

import structlog
import uvicorn
from uvicorn.config import Config

from gateway.connection.connection import Connection
from gateway.lifecycle.drain import Drain

log = structlog.get_logger(__name__)

# Time reserved for sending leaves to Redis, after the last HTTP answer.
SETTLE_SECONDS = 3.0
# The code that uvicorn exits with when it can't listen; gateway/serve.py turns it into its own.
STARTUP_FAILURE = 3


class Server(uvicorn.Server):
    """Listens until the drain is over; during the drain `/ready` answers 503, and upgrades are refused.

    With an `admin_port` other than 0 it listens there too: on the same addresses, for the same application.
    """

    def __init__(self, config: Config, drain: Drain, *, admin_port: int = 0) -> None:
        super().__init__(config)
        self._drain = drain
        self._admin_port = admin_port
        self._is_asked = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, on ADMIN_PORT first, so that who answers on PORT answers there too. Raises SystemExit."""
        admin = await self._listen_for_operators() if self._admin_port else None
        await super().startup(sockets)
        if admin is not None:
            self.servers.append(admin)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM or SIGINT: drain. A second one: hurry the drain. A SIGINT after the drain: stop at once.

        Replaces uvicorn's handler, which would raise the signal again at the end.
        """
        del frame
        if not self._is_asked:
            self._is_asked = True
            self._drain.begin()
        elif self._drain.is_over and sig == signal.SIGINT:
            self.force_exit = True
        else:
            self._drain.hurry()
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, stop listening, and wait for the requests under way."""
        await self._drain.run(self._clients)
        left: float = self._drain.left(self.config.timeout_graceful_shutdown or 0, but=SETTLE_SECONDS)
        self.config.timeout_graceful_shutdown = left  # type: ignore[assignment] # uvicorn only passes it to a timeout
        await super().shutdown(sockets)

    async def _listen_for_operators(self) -> asyncio.Server:
        """Listen on ADMIN_PORT, as uvicorn does on PORT."""
        config = self.config

        def create_protocol() -> asyncio.Protocol:
            protocol: Any = config.http_protocol_class
            made: asyncio.Protocol = protocol(
                config=config, server_state=self.server_state, app_state=self.lifespan.state
            )
            return made

        try:
            return await asyncio.get_running_loop().create_server(
                create_protocol, host=config.host, port=self._admin_port, backlog=config.backlog
            )
        except OSError as error:
            log.error("gateway.admin_port_taken", port=self._admin_port, reason=str(error))  # noqa: TRY400 - no fault
            raise SystemExit(STARTUP_FAILURE) from error

    def _clients(self) -> list[Connection]:
        connections: set[Any] = self.server_state.connections  # uvicorn's HTTP connections, and detached ones
        return [one for one in connections if isinstance(one, Connection)]
