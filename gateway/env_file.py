"""Reads `.env`, and finds variables whose name is almost that of a setting."""

import codecs
import difflib
import io
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec
from dotenv.parser import parse_stream

# A byte order mark says how the file is encoded; Windows writes such files.
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
# `LOGLEVEL` is 0.94 like LOG_LEVEL and `DATABASE_URI` 0.92 like DATABASE_URL; `PGPORT` is only 0.8 like PORT.
_ALMOST = 0.88


class EnvFile(msgspec.Struct, frozen=True):
    """The variables of the file, and what is wrong with the file."""

    variables: Mapping[str, str] = {}
    problems: tuple[str, ...] = ()


def read(path: Path | None) -> EnvFile:
    """Read the file; a missing one, or a folder of this name, counts as empty. Values are taken literally."""
    if path is None or not path.is_file():
        return EnvFile()
    try:
        text = _decoded(path.read_bytes())
    except OSError as error:
        return EnvFile(problems=(f"{path} can't be read: {error.strerror or error}",))
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        return EnvFile(problems=(f"{path}, line {line}: this is not UTF-8; save the file in the encoding UTF-8",))
    variables: dict[str, str] = {}
    problems: list[str] = []
    for binding in parse_stream(io.StringIO(text)):
        if binding.error:
            problems.append(f"{path}, line {binding.original.line}: expected NAME=value, or a comment after #")
        elif binding.key is not None and binding.value is not None:
            variables[binding.key] = binding.value
    return EnvFile(variables, tuple(problems))


def misspelt(known: Collection[str], environ: Mapping[str, str], env_file: Path | None) -> list[str]:
    """A hint for each variable that is set and almost has the name of a setting which is not set."""
    found = {"environment": environ, ".env": read(env_file).variables}
    given = {name for variables in found.values() for name in variables}
    wanted = [name for name in known if name not in given]
    return [
        f"{name} ({origin}) is not a setting; did you mean {closest}?"
        for origin, variables in found.items()
        for name, closest in _almost(wanted, (name for name in variables if name not in known))
    ]


def _almost(wanted: list[str], names: Iterable[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        yield from ((name, closest) for closest in difflib.get_close_matches(name.upper(), wanted, 1, _ALMOST))


def _decoded(data: bytes) -> str:
    """The text. Raises UnicodeDecodeError."""
    encoding = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in data:
        raise UnicodeDecodeError("utf-8", data, data.index(b"\0"), data.index(b"\0") + 1, "a zero byte")
    return data.decode(encoding)
