"""The `seance` command on a pseudo-terminal, as somebody sees it and types there."""

import codecs
import contextlib
import os
import termios
from collections.abc import Mapping
from pathlib import Path

from tests.forked import Forked


class Terminal:
    """A process on a pseudo-terminal of its own, and everything it has written there."""

    def __init__(self, environ: Mapping[str, str], *arguments: str) -> None:
        self.master, slave = os.openpty()
        os.set_blocking(self.master, False)
        termios.tcsetwinsize(slave, (40, 140))
        self.said = ""
        # A read may end in the middle of a character.
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.process = Forked(
            arguments,
            environment={**environ, "TERM": "xterm"},
            folder=Path.cwd(),
            stdin=slave,
            stdout=slave,
            has_terminal=True,
        )
        os.close(slave)

    def shows(self, text: str) -> bool:
        """Whether this has been written so far."""
        self.read()
        return text in self.said

    def read(self) -> None:
        """Add to `said` what has been written since the last read."""
        # When the process has ended, its side of the terminal is gone.
        with contextlib.suppress(BlockingIOError, OSError):
            self.said += self._decoder.decode(os.read(self.master, 1_000_000))

    def type(self, keys: bytes) -> None:
        """What somebody types there."""
        os.write(self.master, keys)
