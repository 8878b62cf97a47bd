"""A chat through pipes: lines from standard input, events to standard output, notes to standard error."""

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Iterator

from cluster.chat.transcript import Line

# Lines that wait to be sent; the thread reads no more until one is taken.
_WAITING_LINES = 100
_READ_BYTES = 65_536


class PipeTerminal:
    """Reads standard input in a thread, because the event loop can't wait for files."""

    is_interactive = False

    def __init__(self) -> None:
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        # Bounds the queue: the thread acquires the semaphore before each line.
        self._free = threading.Semaphore(_WAITING_LINES)
        self._loop = asyncio.get_running_loop()
        # A daemon, so that a read that never returns does not hold up the end of the process.
        threading.Thread(target=self._read, name="chat-input", daemon=True).start()

    async def read_line(self) -> str | None:
        """The next line, None at the end of the input."""
        line = await self._lines.get()
        self._free.release()
        return line

    def show(self, line: Line) -> None:
        """Print a line at once."""
        print(line.text, file=sys.stderr if line.is_note else sys.stdout, flush=True)

    def _read(self) -> None:
        # The loop may have ended meanwhile; nobody needs the remaining lines then.
        with contextlib.suppress(RuntimeError):
            for line in _lines_of(sys.stdin.fileno()):
                self._put(line)
            self._put(None)

    def _put(self, line: str | None) -> None:
        self._free.acquire()
        self._loop.call_soon_threadsafe(self._lines.put_nowait, line)


def _lines_of(fd: int) -> Iterator[str]:
    """Lines as they come. Reads without Python's buffer, whose lock a blocked thread would keep at the exit."""
    rest = b""
    while data := os.read(fd, _READ_BYTES):
        *lines, rest = (rest + data).split(b"\n")
        yield from (line.decode(errors="replace") for line in lines)
    if rest:
        yield rest.decode(errors="replace")
