"""When two names are the same to people: without regard to case, and when they look alike (UTS #39). Pure."""

import functools
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from broker.names.properties import DEFAULT_IGNORABLE

_TABLE = Path(__file__).with_name("confusables.txt")
_is_ignorable = re.compile(f"[{DEFAULT_IGNORABLE}]")
# The part of UTS #39's table that most names need; the rest is loaded with the first name that has other letters.
ASCII_PROTOTYPES: Mapping[int, str] = str.maketrans(
    {'"': "''", "%": "\u00ba/\u2080", "0": "O", "1": "l", "I": "l", "`": "'", "m": "rn", "|": "l"}
)


def keys_of(name: str) -> tuple[str, str, str]:
    """Three keys of a name; two names are the same when one of the keys is the same.

    1. The names look alike in small letters: `Ana`, `ANA` and Cyrillic `\u0410na`.
    2. The names look alike as they are written: `Ian` and `lan`, `\u0412\u041e\u0412` in Cyrillic and `BOB`.
    3. Letters of other scripts are taken for the Latin ones that they look like, then case is ignored, because some
       look alike only as capitals: `\u0412\u041e\u0412` in Cyrillic and `Bob`.

    One key that ignored case after the prototypes would take `Ian` for `Lan` and `Kai` for `Kal`.
    """
    plain = unicodedata.normalize("NFKC", name)
    folded = unicodedata.normalize("NFKC", plain.casefold())
    return f"1{skeleton(folded).casefold()}", f"2{skeleton(name)}", f"3{_in_latin(plain).casefold()}"


def skeleton(text: str) -> str:
    """The skeleton of UTS #39, section 4: strings with one skeleton look alike. Takes 1 to 5 us."""
    return unicodedata.normalize("NFD", _in_latin(text).translate(ASCII_PROTOTYPES))


def _in_latin(text: str) -> str:
    """The text with the prototypes of all characters but ASCII; no prototype has a prototype itself."""
    if text.isascii():
        return text
    shown = _is_ignorable.sub("", unicodedata.normalize("NFD", text))
    return unicodedata.normalize("NFD", shown.translate(_prototypes()))


@functools.cache
def _prototypes() -> dict[int, str]:
    """The table; takes 4 ms and about 0.6 MiB."""
    table: dict[int, str] = {}
    for line in _TABLE.read_text(encoding="ascii").splitlines():
        if not line.startswith("#"):
            prototype, _, alike = line.partition(": ")
            text = "".join(chr(int(code_point, 16)) for code_point in prototype.split("+"))
            table.update((int(code_point, 16), text) for code_point in alike.split(" "))
    return table
