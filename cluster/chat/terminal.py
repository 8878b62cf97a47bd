"""Lines in and lines out of a chat: a prompt on a terminal, or pipes."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Protocol

from cluster.chat.pipes import PipeTerminal
from cluster.chat.transcript import Line


class Terminal(Protocol):
    """Where a person or a script writes messages and reads events."""

    is_interactive: bool

    async def read_line(self) -> str | None:
        """The next line, None at the end of the input."""

    def show(self, line: Line) -> None:
        """Show a line."""


@contextlib.contextmanager
def open_terminal() -> Iterator[Terminal]:
    """A prompt when standard input and output are a terminal, else pipes. The prompt needs prompt_toolkit."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        from cluster.chat.prompt import open_prompt

        with open_prompt() as prompt:
            yield prompt
    else:
        yield PipeTerminal()
