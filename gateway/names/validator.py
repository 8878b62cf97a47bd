"""The one validator of names: of users, of sessions, and those under which servers speak. Pure.

A valid name is in NFC, shows all its characters, and has single spaces between words (RFC 8266, section 2.1). So
something of a valid name is always visible. Which names are the same is said in broker/names/comparison.py.
"""

import functools
import re
import unicodedata

from broker.names.comparison import keys_of
from gateway.names.characters import flaw_at, skip_emoji

MAX_USER_NAME = 50
MAX_SESSION_NAME = 100
MAX_MARKS = 4
RESERVED = ("Spirit", "Server", "System", "Admin")

# NFC and folding spaces shorten a name. What is longer than this is too long afterwards as well, or meant to keep the
# gateway busy: the time for NFC grows with the square of the number of marks.
_LONGEST_BEFORE = 4
_spaces = re.compile("[ \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]+")


class InvalidNameError(ValueError):
    """The name is not allowed; the message follows the name of the field, says what is wrong and what to do."""


def normalized(name: str, *, longest: int = MAX_USER_NAME) -> str:
    """The name in the one form that is stored and shown; `longest` counts code points. Raises InvalidNameError."""
    name = name.strip()
    is_plain = name.isascii() and name.isprintable()
    if len(name) <= _LONGEST_BEFORE * longest:
        composed = name if is_plain else unicodedata.normalize("NFC", name)
        name = _spaces.sub(" ", composed).strip(" ")
    if not 1 <= len(name) <= longest:
        raise InvalidNameError(f"must have 1 to {longest} characters after trimming; this one has {len(name)}")
    if not is_plain:
        _check_characters(name)
        _check_marks(name)
    return name


def normalized_user(name: str) -> str:
    """Like `normalized`, for the name of a user. Raises InvalidNameError for a name that only servers may have, too."""
    name = normalized(name)
    if not _reserved_keys().isdisjoint(keys_of(name)):
        raise InvalidNameError("is reserved for servers: choose another name")
    return name


def _check_characters(name: str) -> None:
    position = 0
    while position < len(name):
        end = skip_emoji(name, position)
        if end is None:
            flaw = flaw_at(name, position)
            if flaw is not None:
                raise InvalidNameError(flaw)
            end = position + 1
        position = end


def _check_marks(name: str) -> None:
    """UTS #39, section 5.4: stacks of marks cover the lines above and below, and a first mark the text before."""
    row = 0
    for place, character in enumerate(unicodedata.normalize("NFD", name)):
        category = unicodedata.category(character)
        if place == 0 and category[0] == "M":
            raise InvalidNameError(f"must not begin with the combining mark {_code(character)}: write a letter first")
        row = row + 1 if category in {"Mn", "Me"} else 0
        if row > MAX_MARKS:
            raise InvalidNameError(
                f"must not have more than {MAX_MARKS} combining marks in a row; remove {_code(character)} or others"
            )


def _code(character: str) -> str:
    return f"U+{ord(character):04X}"


@functools.cache
def _reserved_keys() -> frozenset[str]:
    return frozenset(key for name in RESERVED for key in keys_of(name))
