"""Structs that hold a token, a password or a URL with a password print without it: what is printed ends up in logs."""

import msgspec


def concealed(struct: msgspec.Struct, *fields: str) -> str:
    """The repr of the struct, with `'***'` in place of those of these fields that are set."""
    hidden = {field: "***" for field in fields if getattr(struct, field)}
    return msgspec.Struct.__repr__(msgspec.structs.replace(struct, **hidden))
