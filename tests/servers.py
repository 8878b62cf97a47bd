"""One embedded server of a test's own, to be stopped and started again under the same address."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from cluster.embedded.services import Service, wait_until_answering
from cluster.process.launch import start
from tests.services import run_apart


class Server:
    """A prepared server and its process, if it runs."""

    def __init__(self, service: Service, log: Path) -> None:
        self.url = service.url
        self._service = service
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it; it answers now. Not in another thread: the server ends with the thread that began it."""
        self._process = start(self._service.launch, self._log)
        await wait_until_answering(self._service, partial(_is_alive, self._process))

    def stop(self) -> None:
        """Stop it, if it runs."""
        if self._process is not None:
            self._process.send_signal(self._service.launch.stop_signal)
            self._process.wait(timeout=20)
            self._process = None


@contextmanager
def running_server(service: Service, log: Path) -> Iterator[Server]:
    """The server, started; stopped at the end."""
    server = Server(service, log)
    try:
        run_apart(server.start())
        yield server
    finally:
        server.stop()


def _is_alive(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is None
