"""Which characters a name may have, and where. Pure.

A name shows all its characters: no control, format, bidi, private or unassigned characters, and nothing that is
invisible. The exceptions have a place where they are needed:

- ZWNJ and ZWJ where letters are joined (RFC 5892, appendices A.1 and A.2; UTS #46, CheckJoiners);
- ZWJ and variation selectors in emoji (UTS #51);
- tag characters in the flags of England, Scotland and Wales, which are the only ones that people can choose;
- variation selectors after an ideograph, which Japanese family names need (UTS #37).
"""

import re
import unicodedata

from broker.names.properties import DEFAULT_IGNORABLE, EXTENDED_PICTOGRAPHIC

_JOINERS = {"\u200c": "letters that the character joins", "\u200d": "the parts of an emoji, or after a virama"}
# Blank without being Default_Ignorable: Braille, a musical note, Khitan, Egyptian.
_BLANK = "\u2800\U0001d159\U00016fe4\U00013441\U00013442"
_is_invisible = re.compile(f"[{DEFAULT_IGNORABLE}{_BLANK}]").match
_is_selector = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]").match

_PICTURE = f"[{EXTENDED_PICTOGRAPHIC}](?:[\ufe0e\ufe0f]|[\U0001f3fb-\U0001f3ff]\ufe0f?)?"
_KEYCAP = "[0-9#*]\ufe0f\u20e3"


def _tags(region: str) -> str:
    """The tag characters that spell a region, and the end of the tags."""
    return "".join(chr(0xE0000 + ord(letter)) for letter in region) + "\U000e007f"


_FLAG = f"\U0001f3f4(?:{'|'.join(map(_tags, ('gbeng', 'gbsct', 'gbwls')))})"
_emoji = re.compile(f"{_FLAG}|{_KEYCAP}|{_PICTURE}(?:\u200d{_PICTURE})*")

_REFUSED = {
    "Cc": "a control character",
    "Cf": "a format character",
    "Cn": "not assigned in this version of Unicode",
    "Co": "a private character, which every font shows differently",
    "Cs": "half of a character",
    "Zl": "a line break",
    "Zp": "a line break",
}
# Ideographs come with each version of Unicode, and are names' own letters: those that Python does not know yet are
# allowed. Nothing else will ever be in these planes but two code points at the end of each.
_is_ideograph_to_come = re.compile("[\U00020000-\U0002fffd\U00030000-\U0003fffd]").match


def skip_emoji(name: str, position: int) -> int | None:
    """The end of the emoji at this position; None when there is none."""
    found = _emoji.match(name, position)
    return None if found is None else found.end()


def flaw_at(name: str, position: int) -> str | None:
    """What is wrong with the character at this position, in words that follow the name of the field; None: nothing."""
    character = name[position]
    category = unicodedata.category(character)
    if character in _JOINERS:
        is_right = _is_joined(name, position)
        return None if is_right else _flaw(character, f"is allowed only between {_JOINERS[character]}")
    if _is_selector(character):
        is_right = position > 0 and unicodedata.name(name[position - 1], "").startswith("CJK ")
        return None if is_right else _flaw(character, "is allowed only after an emoji or an ideograph")
    if category in _REFUSED and not (category == "Cn" and _is_ideograph_to_come(character)):
        return _flaw(character, f"is {_REFUSED[category]}")
    return _flaw(character, "is invisible") if _is_invisible(character) else None


def _flaw(character: str, reason: str) -> str:
    known_as = unicodedata.name(character, "")
    called = f" ({known_as})" if known_as else ""
    return f"must not contain U+{ord(character):04X}{called}, which {reason}: remove it"


def _is_joined(name: str, position: int) -> bool:
    # Here, because the tables take 5 ms to load, and few names have joiners outside emoji.
    from idna.core import valid_contextj

    try:
        return valid_contextj(name, position)
    except ValueError:  # the neighbour is a character without a name
        return False
