"""Strategies for what clients may put into a text frame: commands with every field possible, other JSON, no JSON."""

import json

from hypothesis import strategies as st

_numbers = st.integers() | st.integers(2**63 - 2, 2**64 + 1) | st.floats()
# Lone surrogates too, which JSON can write and UTF-8 can't.
_texts = st.text(st.characters(exclude_categories=()), max_size=70) | st.text(alphabet=" \t\0\u200b\u202ea", max_size=8)
_long = st.integers(1, 3).map(lambda times: "x" * 250 * times)
_json = st.recursive(
    st.none() | st.booleans() | _numbers | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=6,
)
_ids = st.none() | _numbers | _texts | _json
_objects = st.fixed_dictionaries(
    {"type": st.sampled_from(["join", "message", "typing", "ping", "leave", "sing", ""]) | _json},
    optional={
        "id": _ids,
        "name": _texts | _json,
        "token": _texts | _json,
        "password": _texts | _json,
        "text": _texts | _long | _json,
        "key": _texts | _json,
        "ack": st.sampled_from(["accepted", "persisted", ""]) | _json,
        "resume": st.fixed_dictionaries({"epoch": _texts | _json, "seq": _numbers | _json}) | _json,
        "more": _json,
    },
)

# One field at the edge of what it may be, the rest right: what a whole object of random fields rarely reaches.
_spaces = st.text(alphabet=" \t\n\u2003\u00a0", max_size=4)
_edges = st.builds(lambda left, middle, right: left + middle + right, _spaces, _texts | _long, _spaces)
_nearly_right = (
    st.fixed_dictionaries({"type": st.just("message"), "text": _edges}, optional={"id": st.integers(), "key": _edges})
    | st.fixed_dictionaries({"type": st.just("join"), "name": _edges}, optional={"id": st.text(max_size=66)})
    | st.fixed_dictionaries({"type": st.sampled_from(["ping", "typing", "leave"])}, optional={"id": _ids})
)

commands: st.SearchStrategy[bytes] = (
    st.builds(lambda value: json.dumps(value).encode(), _nearly_right | _objects | _json)
    | st.builds(
        lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"), _nearly_right | _objects
    )
    | st.binary(max_size=100)
)
