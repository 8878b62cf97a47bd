"""A chat on a terminal: a line editor at the bottom, and what happens printed above the line being typed."""

import contextlib
import signal
import sys
import unicodedata
from collections.abc import Iterator

from prompt_toolkit import PromptSession
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.patch_stdout import patch_stdout

from cluster.chat.transcript import Line

_PROMPT = "> "


class PromptTerminal:
    """Reads lines with the keys of a shell: arrows, history, Ctrl-A, Ctrl-E, Ctrl-W, Ctrl-R, Ctrl-Z.

    A text pasted with line breaks becomes one message with these line breaks. A terminal without bracketed paste
    types the breaks as Enter, so each line is a message there.
    """

    is_interactive = True

    def __init__(self) -> None:
        # The prompt is one line at the bottom, so the editor need not ask the terminal where the cursor is. Each
        # question would cost a round trip, and an answer that comes late would be taken for typed text.
        output = Vt100_Output.from_pty(sys.stdout)
        output.enable_cpr = False
        self._session: PromptSession[str] = PromptSession(
            _PROMPT,
            key_bindings=_key_bindings(),
            enable_suspend=True,
            # The line disappears on Enter: the message comes back from the session like everybody's messages.
            erase_when_done=True,
            output=output,
        )

    async def read_line(self) -> str | None:
        """The next line; None after Ctrl-D on an empty line, or when the terminal is gone."""
        try:
            # The conversation has its own handler for SIGINT.
            return sendable(await self._session.prompt_async(handle_sigint=False, set_exception_handler=False))
        except (EOFError, OSError):
            # The editor writes when it ends, which fails on a terminal that is gone.
            return None

    def show(self, line: Line) -> None:
        """Print a line above the prompt."""
        sys.stdout.write(f"{line.text}\n")
        sys.stdout.flush()


def sendable(typed: str) -> str:
    """The typed or pasted text without control characters other than line breaks, and valid in UTF-8."""
    # The editor keeps a byte that is no UTF-8 as a surrogate, which no message can hold.
    text = typed.encode(errors="surrogateescape").decode(errors="replace").replace("\t", " ")
    return "".join(character for character in text if character == "\n" or unicodedata.category(character) != "Cc")


@contextlib.contextmanager
def open_prompt() -> Iterator[PromptTerminal]:
    """The prompt; meanwhile everything printed to standard output goes above the line being typed."""
    # The session is made first: its output is the terminal itself, not what stands for it afterwards.
    terminal = PromptTerminal()
    with patch_stdout():
        yield terminal


def _key_bindings() -> KeyBindings:
    bindings = KeyBindings()

    @bindings.add("c-c")
    def interrupt(_: KeyPressEvent) -> None:
        # The editor takes Ctrl-C as a key; the conversation expects the signal, as from `kill -INT`.
        signal.raise_signal(signal.SIGINT)

    return bindings
