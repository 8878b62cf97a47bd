"""Which names are the same to people."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.names.comparison import ASCII_PROTOTYPES, _prototypes, keys_of, skeleton


def are_same(one: str, other: str) -> bool:
    """Whether both can't be in one session."""
    return not set(keys_of(one)).isdisjoint(keys_of(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ana", "ANA"),
        ("Straße", "STRASSE"),
        ("\N{FULLWIDTH LATIN CAPITAL LETTER A}na", "ana"),
        ("\N{LATIN SMALL LETTER E WITH ACUTE}va", "e\N{COMBINING ACUTE ACCENT}VA"),
        ("\N{KELVIN SIGN}", "k"),
        ("\N{GREEK SMALL LETTER FINAL SIGMA}", "\N{GREEK CAPITAL LETTER SIGMA}"),
        ("\N{LATIN SMALL LIGATURE FI}n", "FIN"),
        # UTS #39: Cyrillic and Greek for Latin, in either case.
        ("Ana", "\N{CYRILLIC CAPITAL LETTER A}na"),
        ("ana", "\N{CYRILLIC CAPITAL LETTER A}na"),
        ("ANA", "\N{CYRILLIC SMALL LETTER A}na"),
        ("paypal", "p\N{CYRILLIC SMALL LETTER A}yp\N{CYRILLIC SMALL LETTER A}l"),
        ("scope", "\u0455\u0441\u043e\u0440\u0435"),
        ("Bob", "\u0412\u041e\u0412"),
        ("BOB", "\u0412\u041e\u0412"),
        ("\u0412\u041e\u0412", "\u0432\u043e\u0432"),
        ("Ivan", "\N{GREEK CAPITAL LETTER IOTA}van"),
        # Digits, bars and letters of one shape.
        ("paypal", "paypaI"),
        ("paypal", "paypa1"),
        ("PAYPAL", "paypa1"),
        ("Bob", "B0b"),
        ("bill", "bi||"),
        ("Emma", "Ernrna"),
        ("i", "\N{LATIN SMALL LETTER DOTLESS I}"),
        ("7", "\N{MATHEMATICAL BOLD DIGIT SEVEN}"),
        ("o", "\N{DEVANAGARI DIGIT ZERO}"),
        # What shows nothing does not count.
        ("Ana", "A\N{ZERO WIDTH SPACE}na"),
        ("Ana", "Ana\N{HANGUL FILLER}"),
        ("\N{BLACK HEART SUIT}", "\N{BLACK HEART SUIT}\N{VARIATION SELECTOR-16}"),
    ],
)
def test_names_that_look_the_same_are_one(one: str, other: str) -> None:
    """Names that differ only in case, in the form of a letter, or in letters that look alike are one name."""
    assert are_same(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *[("Ana", "Anna"), ("Ana", "Äna"), ("a b", "ab"), ("Zoë", "Zoe"), ("Łukasz", "Lukasz"), ("Ana 1", "Ana 2")],
        # Only a key that ignored case after the skeleton would take these for each other.
        *[("Ian", "Lan"), ("Kai", "Kal"), ("Iina", "Lina"), ("Miia", "Mila"), ("KAI", "KAL")],
        *[("Иван", "Иван Петров"), ("王芳", "王方"), ("\N{GHOST}", "\N{ALIEN MONSTER}")],
    ],
)
def test_names_that_look_different_stay_different(one: str, other: str) -> None:
    """Two people with different names can both be there."""
    assert not are_same(one, other)


@given(st.text(max_size=60), st.text(max_size=60))
def test_names_with_one_skeleton_are_the_same(one: str, other: str) -> None:
    """Equal skeletons, or equality without case, make names the same."""
    assert are_same(one, one.replace("\N{CYRILLIC SMALL LETTER A}", "a"))
    assert are_same(one, unicodedata.normalize("NFD", one))
    if skeleton(one) == skeleton(other) or one.casefold() == other.casefold():
        assert are_same(one, other)


def test_the_table_is_that_of_unicode_17() -> None:
    """Every prototype is final, and the characters that most names have are in both parts of the table."""
    table = _prototypes()
    assert len(table) + len(ASCII_PROTOTYPES) > 5000
    assert all(not set(map(ord, prototype)) & (set(table) | set(ASCII_PROTOTYPES)) for prototype in table.values())
    assert (table[0x0430], table[0x0131], table[0x0661], table[0x2028]) == ("a", "i", "l", " ")
    assert table[0x1CCD6] == "A"  # OUTLINED LATIN CAPITAL LETTER A, which is new in Unicode 16
