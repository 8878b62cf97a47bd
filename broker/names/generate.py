"""Makes `confusables.txt` and `properties.py` from three files of Unicode: `python -m broker.names.generate FOLDER`.

The folder holds `confusables.txt` (UTS #39), `DerivedCoreProperties.txt` (UAX #44) and `emoji-data.txt` (UTS #51) of
one version, as https://www.unicode.org/Public/ hands them out.
"""

import re
import sys
import textwrap
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_VERSION = re.compile(r"^# Version: (\d+\.\d+)", re.MULTILINE)
_WIDTH = 110
_HEAD = """\
# Prototypes of characters that are not ASCII, from confusables.txt of UTS #39, Unicode {version}. In each line a
# prototype (code points that `+` joins), a colon, and the characters that look like it. Characters that NFD replaces
# are left out.
# Made by `python -m broker.names.generate`. Copyright 2025 Unicode, Inc.; LICENSE.unicode has the terms.
"""
_MODULE = '''\
"""Sets of characters of Unicode {version}, written as the inside of `[...]` in a pattern. Pure.

Made by `python -m broker.names.generate`. Copyright 2025 Unicode, Inc.; LICENSE.unicode has the terms.
"""

# Default_Ignorable_Code_Point (UAX #44): characters that show nothing by themselves.
DEFAULT_IGNORABLE = (
{ignorable}
)
# Extended_Pictographic (UTS #51): emoji, and code points that are kept free for emoji.
EXTENDED_PICTOGRAPHIC = (
{pictographic}
)
'''


def main(folder: Path) -> None:
    """Write both files beside this one."""
    written = (folder / "confusables.txt").read_text(encoding="utf-8-sig")
    found = _VERSION.search(written)
    assert found is not None, "confusables.txt does not name its version"
    version = found[1]
    sources = defaultdict(list)
    for source, prototype in _rows(written, 2):
        character = chr(int(source, 16))
        if not character.isascii() and unicodedata.normalize("NFD", character) == character:
            sources[prototype.replace(" ", "+")].append(source)
    lines = "".join(f"{prototype}: {' '.join(alike)}\n" for prototype, alike in sources.items())
    (_HERE / "confusables.txt").write_text(_HEAD.format(version=version) + lines, encoding="ascii")
    ignorable = _set(folder / "DerivedCoreProperties.txt", "Default_Ignorable_Code_Point")
    pictographic = _set(folder / "emoji-data.txt", "Extended_Pictographic")
    module = _MODULE.format(version=version, ignorable=ignorable, pictographic=pictographic)
    (_HERE / "properties.py").write_text(module, encoding="ascii")


def _rows(text: str, columns: int) -> Iterator[list[str]]:
    """The first columns of each row of a file of Unicode."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.partition("#")[0].split(";")]
        if len(cells) >= columns:
            yield cells[:columns]


def _set(path: Path, wanted: str) -> str:
    """The characters with a property as lines of string literals; ranges that touch each other become one."""
    ranges: list[tuple[int, int]] = []
    named = (span for span, name in _rows(path.read_text(encoding="utf-8"), 2) if name == wanted)
    for first, last in sorted((int(span.split("..")[0], 16), int(span.split("..")[-1], 16)) for span in named):
        if ranges and ranges[-1][1] + 1 == first:
            ranges[-1] = (ranges[-1][0], last)
        else:
            ranges.append((first, last))
    written = (_escaped(first) if first == last else f"{_escaped(first)}-{_escaped(last)}" for first, last in ranges)
    lines = textwrap.wrap(" ".join(written), _WIDTH)
    return "\n".join(f'    "{line.replace(" ", "")}"' for line in lines)


def _escaped(code_point: int) -> str:
    if code_point <= 0xFF:  # noqa: PLR2004 - the longest that two digits write
        return f"\\x{code_point:02x}"
    return f"\\u{code_point:04x}" if code_point <= 0xFFFF else f"\\U{code_point:08x}"  # noqa: PLR2004 - four digits


if __name__ == "__main__":
    main(Path(sys.argv[1]))
