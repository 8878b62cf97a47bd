"""Request bodies: which JSON is accepted, which is refused, and the messages of the refusals."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ApiError
from gateway.rest.body import parse

KEYS = st.text(st.characters(codec="utf-8"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | KEYS,
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
)


@given(JSON)
def test_every_json_value_survives(value: object) -> None:
    """Every value that a JSON encoder writes is read back unchanged."""
    assert parse(json.dumps(value).encode()) == value


@given(st.binary())
def test_any_bytes_give_a_value_or_malformed_json(body: bytes) -> None:
    """Any bytes give a value or `malformed_json`, and no other exception."""
    try:
        parse(body)
        code = "none"
    except ApiError as error:
        code = error.code
    assert code in {"none", "malformed_json"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"{", "not valid JSON"),
        (b"{'name': 1}", "not valid JSON"),
        (b'{"name": 1,}', "not valid JSON"),
        (b'{"name": NaN}', "not valid JSON"),
        (b'{"name": Infinity}', "not valid JSON"),
        (b'{"name": 1e999}', "not valid JSON"),
        (b'{"name": ' + b"1" * 5000 + b"}", "not valid JSON"),
        (b'{"name": "\n"}', "not valid JSON"),
        (b'{"name": "\\ud800"}', "not valid JSON"),
        (b'{"name": "\\udc00 and more text"}', "not valid JSON"),
        (b'{} {"name": 1}', "not valid JSON"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
        ('{"name": "Ana"}'.encode("utf-16"), "not valid JSON"),
        (b'{"name": "\xff"}', "not UTF-8"),
        (b'{"name": "\xed\xa0\x80"}', "not UTF-8"),
        (b'{"name": 1, "name": 1}', "the key 'name' is there twice"),
        (b'{"a": [{"name": 1, "b": 2, "name": 3}]}', "the key 'name' is there twice"),
        (b'{"name": 1, "\\u006eame": 1}', "the key 'name' is there twice"),
        (b"[" * 60_000, "nested too deeply"),
        (b'{"a":' * 12_000, "nested too deeply"),
    ],
)
def test_ambiguous_json_is_refused_with_its_reason(body: bytes, message: str) -> None:
    """Anything but unambiguous JSON in UTF-8 is `malformed_json`, and the message names the reason."""
    with pytest.raises(ApiError, match=message) as caught:
        parse(body)
    assert (caught.value.status, caught.value.code) == (400, "malformed_json")
