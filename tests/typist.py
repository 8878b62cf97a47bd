"""A person in a session with `seance chat` on a pseudo-terminal: the keys, and the screen that the person reads."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from enum import StrEnum

import pyte

from tests.gateways import inherited
from tests.terminal import Terminal
from tests.waiting import eventually

_EXIT_SECONDS = 60


class Key(StrEnum):
    """What a terminal sends for a key, and around a text that somebody pastes."""

    ENTER = "\r"
    CTRL_A = "\x01"
    CTRL_C = "\x03"
    CTRL_D = "\x04"
    CTRL_E = "\x05"
    CTRL_W = "\x17"
    BACKSPACE = "\x7f"
    UP = "\x1b[A"
    DOWN = "\x1b[B"
    RIGHT = "\x1b[C"
    LEFT = "\x1b[D"
    PASTE_BEGINS = "\x1b[200~"
    PASTE_ENDS = "\x1b[201~"


class Screen:
    """A terminal in memory that interprets everything that the process has written so far."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._screen = pyte.Screen(140, 40)
        self._stream = pyte.Stream(self._screen)
        self._seen = 0

    def lines(self) -> list[str]:
        """The lines of the screen that are not empty, from the top, without the blanks at their ends."""
        self._update()
        return [line.rstrip() for line in self._screen.display if line.strip()]

    def cursor(self) -> int:
        """The column of the cursor."""
        self._update()
        return self._screen.cursor.x

    def _update(self) -> None:
        self._terminal.read()
        self._stream.feed(self._terminal.said[self._seen :])
        self._seen = len(self._terminal.said)


class Typist:
    """A person in a session with `seance chat` on a terminal: types keys, and reads the screen."""

    def __init__(self, *arguments: str) -> None:
        self.terminal = Terminal(inherited(), "chat", *arguments)
        self.screen = Screen(self.terminal)

    async def sees(self, *last_lines: str) -> None:
        """Return once these are the last lines of the screen."""

        async def are_shown() -> bool:
            return self.screen.lines()[-len(last_lines) :] == list(last_lines)

        try:
            await eventually(are_shown)
        except TimeoutError:
            # The assertion shows the screen.
            assert self.screen.lines() == list(last_lines)

    def type(self, keys: str) -> None:
        """Press these keys."""
        self.terminal.type(keys.encode())

    async def exit_code(self) -> int:
        """How the command has ended."""
        return await asyncio.to_thread(self.terminal.process.wait, _EXIT_SECONDS)


@contextlib.asynccontextmanager
async def at_a_terminal(url: str, session_id: str) -> AsyncIterator[Typist]:
    """Ana at a terminal, once her prompt is there."""
    typist = Typist(session_id, "--url", url, "--name", "Ana")
    try:
        await typist.sees("* you are Ana in “test”; 1 here: Ana", ">")
        yield typist
    finally:
        typist.terminal.process.kill()
        typist.terminal.process.wait()
        os.close(typist.terminal.master)
