"""Converts raw values to frozen structs field by field, so that the answer names every wrong field."""

import functools
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

from gateway.errors import ApiError, Detail
from gateway.names.validator import MAX_SESSION_NAME, MAX_USER_NAME, normalized
from gateway.violations import choices_of, in_words, parts_of

T = TypeVar("T", bound=msgspec.Struct)

# For a field's Meta: what is done with the text before its length is checked. It raises ValueError with words that
# follow the field's name.
_PREPARE = "prepare"
# The text is stripped of white space.
TRIMMED = {_PREPARE: str.strip}
# Patterns for the schemas: no U+0000, and in a trimmed text a character that is not white space. Spelled out, because
# `\s` differs between regular-expression engines, and from the white space of `str.strip`.
_SPACE = r"\t-\r\u001c- \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
TEXT_SCHEMA = {"pattern": r"^[^\u0000]*$"}
TRIMMED_SCHEMA = {"pattern": rf"^[^\u0000]*[^\u0000{_SPACE}][^\u0000]*$"}
# The names under which sessions are shown and servers speak.
SESSION_NAME = Annotated[
    str,
    Meta(
        extra={_PREPARE: functools.partial(normalized, longest=MAX_SESSION_NAME)},
        extra_json_schema={"minLength": 1, "maxLength": MAX_SESSION_NAME, **TRIMMED_SCHEMA},
    ),
]
SERVER_NAME = Annotated[
    str,
    Meta(
        extra={_PREPARE: normalized},
        extra_json_schema={"minLength": 1, "maxLength": MAX_USER_NAME, **TRIMMED_SCHEMA},
    ),
]

_is_whole_number = re.compile(r"-?[0-9]{1,19}", re.ASCII).fullmatch


class _Field(NamedTuple):
    name: str
    type: Any
    is_required: bool
    prepare: Callable[[str], str] | None
    choices: tuple[str, ...]


def invalid(details: list[Detail]) -> ApiError:
    """Make the error for a request with these wrong fields."""
    return ApiError(422, "validation_error", "the request has invalid fields", details)


def from_object(raw: object, kind: type[T]) -> T:
    """Convert a decoded JSON object; numbers must be JSON numbers. Raises ApiError."""
    if not isinstance(raw, dict):
        raise invalid([Detail("body", "the body must be a JSON object")])
    return _build(raw, kind)


def from_texts(pairs: list[tuple[str, str]], kind: type[T]) -> T:
    """Convert query parameters, each of which may be given once. Raises ApiError."""
    repeated = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    if repeated:
        raise invalid([Detail(name[:64], f"{name[:64]} is given more than once") for name in repeated])
    return _build({name: int(text) if _is_whole_number(text) else text for name, text in pairs}, kind)


def _build(raw: Mapping[str, object], kind: type[T]) -> T:
    values: dict[str, object] = {}
    details: list[Detail] = []
    for field in _fields(kind):
        try:
            if field.name in raw:
                values[field.name] = _value(raw[field.name], field)
            elif field.is_required:
                raise ValueError("is required")  # noqa: TRY301 - one place makes the details
        except ValueError as error:
            details.append(Detail(field.name, f"{field.name} {error}"))
    known = {field.name for field in _fields(kind)}
    details.extend(
        Detail(name[:64], f"{name[:64]} is not a field of this request") for name in raw if name not in known
    )
    if details:
        raise invalid(details)
    return kind(**values)


def _value(raw: object, field: _Field) -> object:
    """Convert a value to the field's type. Raises ValueError with words that follow the field's name."""
    if isinstance(raw, str):
        if "\0" in raw:
            # Postgres can't store it.
            raise ValueError("must not contain NUL characters")
        if field.prepare is not None:
            raw = field.prepare(raw)
    if isinstance(raw, float) and raw.is_integer():
        # In JSON Schema 6.0 is an integer.
        raw = int(raw)
    try:
        return msgspec.convert(raw, field.type)
    except msgspec.ValidationError as error:
        raise ValueError(in_words(str(error), field.choices)) from error


@functools.cache
def _fields(kind: type[msgspec.Struct]) -> tuple[_Field, ...]:
    return tuple(
        _Field(
            field.name,
            field.type,
            field.required,
            _prepare_of(field.type),
            tuple(f"`{value}`" for value in choices_of(field.type)),
        )
        for field in msgspec.structs.fields(kind)
    )


def _prepare_of(annotation: Any) -> Callable[[str], str] | None:
    extras = (part.extra for part in parts_of(annotation) if isinstance(part, Meta) and part.extra is not None)
    return next((extra[_PREPARE] for extra in extras if _PREPARE in extra), None)
