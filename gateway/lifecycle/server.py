"""A subclass of uvicorn's server that drains before it closes, and leaves the exit code to its caller."""

import signal
import socket
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.config import Config

from gateway.connection.connection import Connection
from gateway.lifecycle.drain import Drain

# Time reserved for sending leaves to Redis, after the last HTTP answer.
SETTLE_SECONDS = 3.0


class Server(uvicorn.Server):
    """Listens until the drain is over; during the drain `/ready` answers 503, and upgrades are refused."""

    def __init__(self, config: Config, drain: Drain) -> None:
        super().__init__(config)
        self._drain = drain
        self._is_asked = False

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

    def _clients(self) -> list[Connection]:
        connections: set[Any] = self.server_state.connections  # uvicorn's HTTP connections, and detached ones
        return [one for one in connections if isinstance(one, Connection)]
