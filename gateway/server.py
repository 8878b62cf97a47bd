"""uvicorn's server, subclassed: drains before it closes, and leaves the exit code to its owner."""

import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from uvicorn.config import Config


class Server(uvicorn.Server):
    """`on_drain` is called once, before the listening sockets close and the connections are told."""

    def __init__(self, config: Config, on_drain: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_drain = on_drain

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM or SIGINT: drain; a second SIGINT: at once. uvicorn's own would raise the signal again at the end."""
        del frame
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop taking connections, say goodbye on those there are, wait for what is under way."""
        self._on_drain()
        await super().shutdown(sockets)
