"""Keys into lines: what somebody has typed so far. Pure; the terminal passes on bytes as they come."""

import codecs
from enum import Enum

_BACKSPACE = frozenset("\x7f\x08")
_CLEAR, _DELETE_WORD, _END, _ESCAPE = "\x15", "\x17", "\x04", "\x1b"


class Escape(Enum):
    """How far into an escape sequence the keys are: arrows and the like, which mean nothing here."""

    NONE = "outside"
    BEGUN = "after ESC"
    SEQUENCE = "inside"


class Keyboard:
    """A line being typed: Backspace, Ctrl-W (word), Ctrl-U (line), Enter, and Ctrl-D on an empty line for the end."""

    def __init__(self, limit: int) -> None:
        self.typed = ""
        self._limit = limit
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._escape = Escape.NONE

    def press(self, keys: bytes) -> list[str | None]:
        """The lines that these keys finish; None is the end, after which nothing counts."""
        finished: list[str | None] = []
        for key in self._decoder.decode(keys):
            if self._is_escape(key):
                continue
            if key in "\r\n":
                finished.append(self.typed)
                self.typed = ""
            elif key == _END and not self.typed:
                return [*finished, None]
            else:
                self._edit(key)
        return finished

    def _edit(self, key: str) -> None:
        if key in _BACKSPACE:
            self.typed = self.typed[:-1]
        elif key == _CLEAR:
            self.typed = ""
        elif key == _DELETE_WORD:
            self.typed = self.typed.rstrip().rpartition(" ")[0]
            self.typed += " " if self.typed else ""
        elif key == "\t":
            self._add(" ")
        elif key >= " ":
            self._add(key)

    def _add(self, character: str) -> None:
        if len(self.typed) < self._limit:
            self.typed += character

    def _is_escape(self, key: str) -> bool:
        """Whether the key belongs to an escape sequence: ESC, one byte, or ESC [ or ESC O up to a letter or `~`."""
        match self._escape:
            case Escape.NONE:
                self._escape = Escape.BEGUN if key == _ESCAPE else Escape.NONE
                return key == _ESCAPE
            case Escape.BEGUN:
                self._escape = Escape.SEQUENCE if key in "[O" else Escape.NONE
            case Escape.SEQUENCE:
                self._escape = Escape.NONE if key.isalpha() or key == "~" else Escape.SEQUENCE
        return True
