"""The text of `.env.example`, made from the settings: `python -m cluster.example > .env.example`."""

import sys
import textwrap
from typing import Any, get_args, get_origin

import msgspec

from gateway.settings import Settings

_WIDTH = 110
_HEAD = """\
# Every setting and its default. Copy what you need to `.env` beside this file; the environment goes before it.
# `seance check` shows the values in force and where each came from. Made by `python -m cluster.example`.
"""
_TAIL = """
# Only for the command line, from the environment: DETACH=1 (`make up` returns when everything is ready),
# SEANCE_HOME (folder of the local cluster's data, logs and state; default `.seance` in the checkout, else
# where the platform keeps data of programs).
"""


def text() -> str:
    """The whole file: each setting's description, allowed values and default, with the default commented out."""
    return _HEAD + "".join(_entry(field) for field in msgspec.structs.fields(Settings)) + _TAIL


def _entry(field: msgspec.structs.FieldInfo) -> str:
    description, limits = _explain(field.type)
    words = f"{description} ({limits})" if limits else description
    comment = textwrap.fill(words, _WIDTH, initial_indent="# ", subsequent_indent="# ")
    return f"\n{comment}\n#{field.name.upper()}={field.default}\n"


def _explain(kind: Any) -> tuple[str, str]:
    """A setting's description, and its allowed values."""
    metas = [meta for meta in getattr(kind, "__metadata__", ()) if isinstance(meta, msgspec.Meta)]
    description = next((meta.description for meta in metas if meta.description), "")
    inner = get_args(kind)[0] if metas else kind
    if get_origin(inner) is not None:
        return description, ", ".join(str(choice) for choice in get_args(inner))
    lowest = next((meta.ge for meta in metas if meta.ge is not None), None)
    highest = next((meta.le for meta in metas if meta.le is not None), None)
    if highest is not None:
        return description, f"{lowest} to {highest}"
    return description, "" if lowest is None else f"at least {lowest}"


if __name__ == "__main__":
    sys.stdout.write(text())
