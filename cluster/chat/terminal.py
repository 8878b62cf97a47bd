"""Where lines come from and go to: a terminal with a prompt below what happens, or pipes."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import termios
import threading
import unicodedata
from collections.abc import Iterator
from typing import Protocol, Self

from cluster.chat.line_editor import Keyboard
from cluster.chat.transcript import Line, plain

# Lines that wait to be sent; then no more are read.
_WAITING_LINES = 100
_MAX_LINE = 2000
_READ_BYTES = 65_536
_PROMPT = "> "


class Desk(Protocol):
    """Lines in, lines out."""

    is_interactive: bool

    async def line(self) -> str | None:
        """The next line; None: there will be no more."""

    def show(self, line: Line) -> None:
        """Show a line."""


class Pipes:
    """Reads lines from standard input; events go to standard output, notes to standard error."""

    is_interactive = False

    def __init__(self) -> None:
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        # What bounds the queue: the thread waits for it before each line.
        self._room = threading.Semaphore(_WAITING_LINES)
        self._loop = asyncio.get_running_loop()
        # A thread, since the event loop can't wait for files; it must not hold up the end.
        threading.Thread(target=self._read, name="chat-input", daemon=True).start()

    async def line(self) -> str | None:
        """The next line; None: there will be no more."""
        line = await self._lines.get()
        self._room.release()
        return line

    def show(self, line: Line) -> None:
        """Show a line."""
        print(line.text, file=sys.stderr if line.is_note else sys.stdout, flush=True)

    def _read(self) -> None:
        # The loop may have ended meanwhile; nobody wants the rest then.
        with contextlib.suppress(RuntimeError):
            for line in _lines_of(sys.stdin.fileno()):
                self._put(line)
            self._put(None)

    def _put(self, line: str | None) -> None:
        self._room.acquire()
        self._loop.call_soon_threadsafe(self._lines.put_nowait, line)


class Terminal:
    """A prompt in the last line; what happens is printed above it, and what was typed so far stays."""

    is_interactive = True

    def __init__(self) -> None:
        self._fd = sys.stdin.fileno()
        self._keyboard = Keyboard(_MAX_LINE)
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._has_ended = False
        self._before = termios.tcgetattr(self._fd)
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> Self:
        self._take()
        self._loop.add_reader(self._fd, self._pressed)
        # Back from the shell after Ctrl-Z, which has set the terminal its own way.
        self._loop.add_signal_handler(signal.SIGCONT, self._take)
        self._loop.add_signal_handler(signal.SIGWINCH, self._draw)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.remove_reader(self._fd)
        for number in (signal.SIGCONT, signal.SIGWINCH):
            self._loop.remove_signal_handler(number)
        # The terminal may be gone.
        with contextlib.suppress(OSError, termios.error):
            self._write("\r\x1b[K")
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)

    async def line(self) -> str | None:
        """The next line; None: there will be no more."""
        line = await self._lines.get()
        if not self._has_ended:
            self._loop.add_reader(self._fd, self._pressed)
        return line

    def show(self, line: Line) -> None:
        """Show a line above the prompt."""
        self._write(f"\r\x1b[K{line.text}\n")
        self._draw()

    def _take(self) -> None:
        """Have keys as they are pressed, not echoed; Ctrl-C and Ctrl-Z still work."""
        with contextlib.suppress(termios.error):
            mode = termios.tcgetattr(self._fd)
            mode[3] &= ~(termios.ICANON | termios.ECHO | termios.IEXTEN)
            termios.tcsetattr(self._fd, termios.TCSADRAIN, mode)
            self._draw()

    def _pressed(self) -> None:
        try:
            keys = os.read(self._fd, _READ_BYTES)
        except OSError:
            keys = b""
        finished = self._keyboard.press(keys) if keys else [None]
        for line in finished:
            self._lines.put_nowait(line)
        self._has_ended = None in finished
        # Until what was pasted has been taken.
        if self._has_ended or self._lines.qsize() >= _WAITING_LINES:
            self._loop.remove_reader(self._fd)
        self._draw()

    def _draw(self) -> None:
        typed = _end_that_fits(plain(self._keyboard.typed), shutil.get_terminal_size().columns - len(_PROMPT) - 1)
        self._write(f"\r\x1b[K{_PROMPT}{typed}")

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


@contextlib.contextmanager
def desk() -> Iterator[Desk]:
    """A terminal's desk when both ends are one, else pipes."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        with Terminal() as terminal:
            yield terminal
    else:
        yield Pipes()


def _lines_of(fd: int) -> Iterator[str]:
    """Lines as they come. Reads without Python's buffer, whose lock a blocked thread would keep at the exit."""
    rest = b""
    while data := os.read(fd, _READ_BYTES):
        *lines, rest = (rest + data).split(b"\n")
        yield from (line.decode(errors="replace") for line in lines)
    if rest:
        yield rest.decode(errors="replace")


def _end_that_fits(text: str, columns: int) -> str:
    """The end of the text that fits into so many columns."""
    for position in range(len(text) - 1, -1, -1):
        columns -= _columns(text[position])
        if columns < 0:
            return text[position + 1 :]
    return text


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
