"""Fields of requests: every wrong field is named, with the expected value."""

import re
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from gateway.errors import ApiError, Detail
from gateway.rest.fields import TRIMMED, TRIMMED_SCHEMA, from_object, from_texts


class Room(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of each kind of field."""

    name: Annotated[str, Meta(min_length=1, max_length=5, extra=TRIMMED)]
    seats: Annotated[int, Meta(ge=1, le=10)] = 6
    password: Annotated[Annotated[str, Meta(min_length=3)] | None, Meta(description="kept as it is")] = None
    spirit: bool = True
    presence: Literal["full", "summary"] | None = None


class Page(msgspec.Struct, frozen=True):
    """Query parameters."""

    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    before: int | None = None
    ack: Literal["accepted"] = "accepted"


def details(raw: object) -> list[tuple[str, str]]:
    """The details of the error for a wrong object."""
    with pytest.raises(ApiError) as caught:
        from_object(raw, Room)
    return told(caught.value)


def told(error: ApiError) -> list[tuple[str, str]]:
    assert (error.status, error.code) == (422, "validation_error")
    return [(detail.field, detail.message) for detail in error.details]


def test_absent_fields_have_their_defaults() -> None:
    """Absent fields have their defaults."""
    assert from_object({"name": "Ana"}, Room) == Room(name="Ana")


def test_only_trimmed_fields_are_stripped() -> None:
    """A trimmed field is stripped before its length is checked; in other fields white space is kept."""
    assert from_object({"name": " \u2003\t12345\n ", "password": "   "}, Room) == Room(name="12345", password="   ")


def test_an_integral_float_is_an_integer() -> None:
    """In JSON 6.0 is the integer 6; infinity is refused."""
    assert from_object({"name": "a", "seats": 6.0}, Room).seats == 6
    assert details({"name": "a", "seats": float("inf")}) == [("seats", "seats must be a whole number, not a number")]


def test_length_is_in_code_points() -> None:
    """An emoji outside the basic plane counts as one character."""
    assert from_object({"name": "🔮" * 5}, Room).name == "🔮" * 5
    assert details({"name": "🔮" * 6}) == [("name", "name must have at most 5 characters")]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({}, [("name", "name is required")]),
        ({"name": ""}, [("name", "name must have at least 1 character")]),
        ({"name": " \u00a0 "}, [("name", "name must have at least 1 character")]),
        ({"name": None}, [("name", "name must be a string, not null")]),
        ({"name": 5}, [("name", "name must be a string, not a whole number")]),
        ({"name": ["a"]}, [("name", "name must be a string, not an array")]),
        ({"name": "a\0b"}, [("name", "name must not contain NUL characters")]),
        ({"name": "a", "seats": "6"}, [("seats", "seats must be a whole number, not a string")]),
        ({"name": "a", "seats": 6.5}, [("seats", "seats must be a whole number, not a number")]),
        ({"name": "a", "seats": True}, [("seats", "seats must be a whole number, not true or false")]),
        ({"name": "a", "seats": None}, [("seats", "seats must be a whole number, not null")]),
        ({"name": "a", "seats": 0}, [("seats", "seats must be at least 1")]),
        ({"name": "a", "seats": 2**70}, [("seats", "seats must be at most 10")]),
        ({"name": "a", "password": "\0\0\0"}, [("password", "password must not contain NUL characters")]),
        ({"name": "a", "spirit": 1}, [("spirit", "spirit must be true or false, not a whole number")]),
        ({"name": "a", "presence": "some"}, [("presence", "presence must be `full` or `summary`")]),
        ({"name": "a", "presence": {}}, [("presence", "presence must be `full` or `summary`")]),
        ({"name": "a", "Name": "a"}, [("Name", "Name is not a field of this request")]),
        ({"name": "a", "x" * 100: 1}, [("x" * 64, f"{'x' * 64} is not a field of this request")]),
        ([], [("body", "the body must be a JSON object")]),
        (None, [("body", "the body must be a JSON object")]),
    ],
)
def test_a_wrong_field_is_named_without_its_value(raw: object, expected: list[tuple[str, str]]) -> None:
    """Each wrong field is named, with the expected value and never with the given one."""
    assert details(raw) == expected


def test_every_wrong_field_is_named_in_order() -> None:
    """The details name every wrong field: first those of the struct, in its order, then the unknown ones."""
    raw: dict[str, Any] = {"extra": 1, "spirit": "yes", "seats": 11, "name": 7}
    assert [field for field, _ in details(raw)] == ["name", "seats", "spirit", "extra"]


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([], Page()),
        ([("limit", "200")], Page(limit=200)),
        ([("before", "0007")], Page(before=7)),
        ([("ack", "accepted"), ("limit", "1")], Page(limit=1)),
    ],
)
def test_query_parameters_become_the_struct(pairs: list[tuple[str, str]], expected: Page) -> None:
    """Query parameters become the struct."""
    assert from_texts(pairs, Page) == expected


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([("limit", "0")], [("limit", "limit must be at least 1")]),
        ([("limit", "-1")], [("limit", "limit must be at least 1")]),
        ([("limit", "201")], [("limit", "limit must be at most 200")]),
        *(
            ([("limit", text)], [("limit", "limit must be a whole number, not a string")])
            for text in ("", "x", " 5", "+5", "5.0", "1e2", "٣", "5_0", "0x5", "9" * 40)
        ),
        ([("ack", "persisted")], [("ack", "ack must be `accepted`")]),
        ([("offset", "5")], [("offset", "offset is not a field of this request")]),
        ([("limit", "5"), ("limit", "5")], [("limit", "limit is given more than once")]),
    ],
)
def test_every_wrong_query_parameter_is_named(pairs: list[tuple[str, str]], expected: list[tuple[str, str]]) -> None:
    """Each wrong query parameter is named."""
    with pytest.raises(ApiError) as caught:
        from_texts(pairs, Page)
    assert told(caught.value) == expected


def test_detail_is_frozen() -> None:
    """A detail can't change after it was made."""
    with pytest.raises(AttributeError):
        Detail("name", "name is required").field = "other"  # type: ignore[misc]


def test_the_schema_pattern_matches_what_is_stripped() -> None:
    """The pattern has every character that is stripped, and no other."""
    matches = re.compile(TRIMMED_SCHEMA["pattern"]).search
    assert all(bool(matches(chr(code))) is bool(chr(code).strip()) for code in range(1, 0x3100))
    assert matches(" a ")
    assert not matches("a\0")
