"""Names: the one form of a good name, and the exact words about a bad one."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.names.comparison import keys_of, skeleton
from gateway.names.validator import (
    MAX_USER_NAME,
    RESERVED,
    InvalidNameError,
    normalized,
    normalized_user,
)

ZWJ, ZWNJ, VS15, VS16 = "\u200d", "\u200c", "\ufe0e", "\ufe0f"
# Characters around which the rules turn, so that random names meet them often.
SPECIAL = st.sampled_from(
    f"aé\u0301\u0327 \u00a0\u2000\u3000{ZWJ}{ZWNJ}{VS15}{VS16}\u200b\u202e"
    "👩❤🏽🇩🇪#1\u20e3क\u094dषمی葛\U000e0100\u3164\u2800"
)
LEAVES = "must not contain U+{}, which {}: remove it"


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        *[(" \t Ana \n", "Ana"), ("Ana   Maria", "Ana Maria"), ("O'Neil-Smith, Jr.", "O'Neil-Smith, Jr.")],
        # RFC 8266: spaces that are not ASCII become spaces, and runs of spaces one.
        *[("\u3000Ana\u00a0\u2003Maria\u1680", "Ana Maria"), ("\u2028Ana\u2029", "Ana")],
        # NFC.
        *[("Ame\u0301lie", "Am\u00e9lie"), ("\u212bsa", "\u00c5sa"), ("\u1112\u1161\u11ab", "한")],
        # Joiners where scripts need them, and where emoji do.
        *[(name, name) for name in (f"می{ZWNJ}خواهم", f"क्{ZWJ}ष", f"क्{ZWNJ}ष", f"ශ්{ZWJ}රී ලංකා")],
        *[
            (name, name)
            for name in (f"👩{ZWJ}👩{ZWJ}👧{ZWJ}👦" * 7, f"🏳{VS16}{ZWJ}🌈", f"⛹🏻{ZWJ}♂{VS16}", f"👩🏽{ZWJ}🚀")
        ],
        *[
            (name, name)
            for name in (f"❤{VS16}", f"❤{VS15}", f"1{VS16}\u20e3", "🇩🇪", "👍🏽", f"Ana ☀{VS16} Ben", "\U0001fae8")
        ],
        ("🏴\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f",) * 2,
        # What people are called.
        *[
            (name, name)
            for name in ("José", "Nguyễn Ánh", "Иван", "عبد الرحمن", "שָׁלוֹם", "ณัฐ", "လျှောက်", "李", "葛\U000e0100城")
        ],
        *[("a" + "\u0335" * 4,) * 2, ("\U0002ebf0",) * 2, ("x" * 50,) * 2, ("\N{GHOST}" * 50,) * 2, ("10:30",) * 2],
    ],
)
def test_a_good_name_has_one_form(written: str, kept: str) -> None:
    """A good name is kept, in NFC and with single spaces."""
    assert normalized_user(written) == kept


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        *[(name, "must have 1 to 50 characters after trimming; this one has 0") for name in ("", " ", "\t\u3000")],
        ("x" * 51, "must have 1 to 50 characters after trimming; this one has 51"),
        ("e\u0301" * 51, "must have 1 to 50 characters after trimming; this one has 51"),
        ("\u0301\u0327" * 8000, "must have 1 to 50 characters after trimming; this one has 16000"),
        ("a\nb", LEAVES.format("000A", "is a control character")),
        ("\x1b[31mAna", LEAVES.format("001B", "is a control character")),
        ("a\x85b", LEAVES.format("0085", "is a control character")),
        ("a\u2028b", LEAVES.format("2028 (LINE SEPARATOR)", "is a line break")),
        ("a\u202eb", LEAVES.format("202E (RIGHT-TO-LEFT OVERRIDE)", "is a format character")),
        ("a\u2066b", LEAVES.format("2066 (LEFT-TO-RIGHT ISOLATE)", "is a format character")),
        ("a\u200eb", LEAVES.format("200E (LEFT-TO-RIGHT MARK)", "is a format character")),
        ("a\u00adb", LEAVES.format("00AD (SOFT HYPHEN)", "is a format character")),
        ("a\u200bb", LEAVES.format("200B (ZERO WIDTH SPACE)", "is a format character")),
        ("\ufeffa", LEAVES.format("FEFF (ZERO WIDTH NO-BREAK SPACE)", "is a format character")),
        ("a\U000e0041", LEAVES.format("E0041 (TAG LATIN CAPITAL LETTER A)", "is a format character")),
        ("🏴\U000e0061\U000e007f", LEAVES.format("E0061 (TAG LATIN SMALL LETTER A)", "is a format character")),
        ("\u3164", LEAVES.format("3164 (HANGUL FILLER)", "is invisible")),
        ("Ana\u3164", LEAVES.format("3164 (HANGUL FILLER)", "is invisible")),
        ("\u115f\u1160", LEAVES.format("115F (HANGUL CHOSEONG FILLER)", "is invisible")),
        ("\uffa0", LEAVES.format("FFA0 (HALFWIDTH HANGUL FILLER)", "is invisible")),
        ("\u2800", LEAVES.format("2800 (BRAILLE PATTERN BLANK)", "is invisible")),
        ("a\u034fb", LEAVES.format("034F (COMBINING GRAPHEME JOINER)", "is invisible")),
        ("a\ue000", LEAVES.format("E000", "is a private character, which every font shows differently")),
        ("a\u0378", LEAVES.format("0378", "is not assigned in this version of Unicode")),
        ("a\ufffe", LEAVES.format("FFFE", "is not assigned in this version of Unicode")),
        ("\U0001f3f4\U000e007f", LEAVES.format("E007F (CANCEL TAG)", "is a format character")),
        ("\u0301a", "must not begin with the combining mark U+0301: write a letter first"),
        ("a" + "\u0301" * 5, "must not have more than 4 combining marks in a row; remove U+0301 or others"),
        (
            "Z" + "\u0335\u0301\u0323" * 16,
            "must not have more than 4 combining marks in a row; remove U+0335 or others",
        ),
    ],
)
def test_a_bad_name_is_refused(name: str, problem: str) -> None:
    """The message says which character is wrong, why, and what to do."""
    with pytest.raises(InvalidNameError) as caught:
        normalized_user(name)
    assert str(caught.value) == problem


@pytest.mark.parametrize(
    ("name", "code"),
    [
        *[(f"a{ZWJ}b", "200D"), (f"👩{ZWJ}", "200D"), (f"{ZWJ}👩", "200D"), (f"👩{ZWJ}{ZWJ}👩", "200D"), (ZWJ, "200D")],
        *[(f"क{ZWJ}ष", "200D"), (f"a{ZWNJ}b", "200C"), (f"می{ZWNJ}", "200C"), (f"{ZWNJ}می", "200C")],
        *[(f"a{VS16}", "FE0F"), (f"❤{VS16}{VS16}", "FE0F"), (VS15, "FE0E"), ("a\U000e0100", "E0100")],
        ("葛\U000e0100\U000e0101", "E0101"),
    ],
)
def test_joiners_and_selectors_have_their_places(name: str, code: str) -> None:
    """A character that shows nothing by itself is refused where it has no effect that people see."""
    with pytest.raises(InvalidNameError, match=rf"^must not contain U\+{code} .*, which is allowed only"):
        normalized_user(name)


@pytest.mark.parametrize(
    "name",
    [
        *RESERVED,
        *["spirit", "SERVER", " system ", "\u0410dmin", "Adrnin", "\u0405\u0440irit", "5ystem".replace("5", "\u0455")],
        "\N{FULLWIDTH LATIN CAPITAL LETTER S}erver",
    ],
)
def test_names_of_servers_are_reserved(name: str) -> None:
    """No user takes a name that looks like a server's; servers and sessions may have it."""
    with pytest.raises(InvalidNameError, match=r"^is reserved for servers: choose another name$"):
        normalized_user(name)
    assert normalized(name) == name.strip()


@given(st.text(SPECIAL, max_size=20) | st.text(max_size=60))
def test_a_normalized_name_stays_as_it_is(name: str) -> None:
    """Normalising again changes nothing; what is kept is in NFC, short enough, and shows something."""
    try:
        kept = normalized_user(name)
    except InvalidNameError:
        return
    assert normalized_user(kept) == kept == unicodedata.normalize("NFC", kept)
    assert 1 <= len(kept) <= MAX_USER_NAME
    assert skeleton(kept).strip()
    assert all(key[1:] for key in keys_of(kept))
