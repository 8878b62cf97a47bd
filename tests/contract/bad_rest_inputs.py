"""The table of wrong REST requests, each with the status, the code and the fields of its answer."""

import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import jwt

from tests.gateways import SECRET

UNKNOWN = "00000000-0000-4000-8000-000000000000"
JSON = (("Content-Type", "application/json"),)
MAX_BODY_BYTES = 65_536

Headers = tuple[tuple[str, str], ...]
Content = bytes | Callable[[], AsyncIterator[bytes]] | None


@dataclass(frozen=True)
class Bad:
    """A wrong request; `{id}` in its path is a session that exists, and `token` makes a bearer token for it."""

    method: str
    path: str
    status: int
    code: str
    fields: list[str] = field(default_factory=list)
    content: Content = None
    headers: Headers = ()
    token: Callable[[str], str] | None = None


def token(session_id: str | None, scope: str = "host", *, secret: str = SECRET, **changes: object) -> str:
    """A token of the tests' own making."""
    now = int(time.time())
    claims = {"iss": "seance", "iat": now, "exp": now + 60, "scope": scope, "sid": session_id, **changes}
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, secret)


def host(session_id: str) -> str:
    """The host's token."""
    return token(session_id)


def anywhere(_: str) -> str:
    """A publisher's token for every session."""
    return token(None, "publish")


def create(status: int, code: str, fields: list[str], content: Content, headers: Headers = JSON) -> Bad:
    """A wrong creation."""
    return Bad("POST", "/api/sessions", status, code, fields, content, headers)


def malformed(content: bytes) -> Bad:
    """A creation whose body is no JSON."""
    return create(400, "malformed_json", [], content)


def invalid(fields: list[str], body: object) -> Bad:
    """A creation with wrong fields."""
    return create(422, "validation_error", fields, json.dumps(body).encode())


def named(**values: object) -> Bad:
    """A creation with a good name and one other field that is wrong."""
    return invalid(list(values), {"name": "table", **values})


def message(fields: list[str], body: object, query: str = "") -> Bad:
    """A publication with wrong fields."""
    path = "/api/sessions/{id}/messages" + query
    return Bad("POST", path, 422, "validation_error", fields, json.dumps(body).encode(), JSON, host)


def event(fields: list[str], body: object) -> Bad:
    """An ephemeral event with wrong fields."""
    content = json.dumps(body).encode()
    return Bad("POST", "/api/sessions/{id}/events", 422, "validation_error", fields, content, JSON, host)


def unauthorized(token: Callable[[str], str] | None, headers: Headers = ()) -> Bad:
    """A publication by nobody."""
    path = "/api/sessions/{id}/messages"
    return Bad("POST", path, 401, "unauthorized", [], b'{"text": "hi"}', (*JSON, *headers), token)


def forbidden(method: str, path: str, token: Callable[[str], str]) -> Bad:
    """A request by somebody who may do other things."""
    return Bad(method, path, 403, "forbidden", [], b'{"text": "hi"}', JSON, token)


def history(query: str, fields: list[str]) -> Bad:
    """A wrong page of history."""
    return Bad("GET", f"/api/sessions/{{id}}/messages?{query}", 422, "validation_error", fields)


def missing(method: str, path: str, code: str = "session_not_found", content: bytes | None = None) -> Bad:
    """A request for what is not there."""
    is_known = not path.startswith(f"/api/sessions/{UNKNOWN}")
    makes = anywhere if content else (lambda session_id: token(session_id if is_known else UNKNOWN))
    return Bad(method, path, 404, code, [], content, JSON if content else (), makes)


async def large() -> AsyncIterator[bytes]:
    """A body over the limit, in chunks, so that its length is not declared."""
    for _ in range(MAX_BODY_BYTES // 4096 + 1):
        yield b" " * 4096


TABLE = {
    # Not JSON
    "empty body": malformed(b""),
    "blank body": malformed(b"  \n"),
    "not JSON": malformed(b"name=Ana"),
    "truncated": malformed(b'{"name": "Ana"'),
    "single quotes": malformed(b"{'name': 'Ana'}"),
    "trailing comma": malformed(b'{"name": "Ana",}'),
    "two values": malformed(b'{"name": "Ana"}{}'),
    "NaN": malformed(b'{"name": "Ana", "max_users": NaN}'),
    "number out of range": malformed(b'{"name": "Ana", "max_users": 1e999}'),
    "endless number": malformed(b'{"name": "Ana", "max_users": ' + b"9" * 5000 + b"}"),
    "line break in a string": malformed(b'{"name": "A\nna"}'),
    "no UTF-8": malformed(b'{"name": "A\xff"}'),
    "UTF-16": malformed('{"name": "Ana"}'.encode("utf-16")),
    "byte order mark": malformed(b'\xef\xbb\xbf{"name": "Ana"}'),
    "lone surrogate": malformed(b'{"name": "A\\ud800na"}'),
    "encoded surrogate": malformed(b'{"name": "\xed\xa0\x80"}'),
    "same key twice": malformed(b'{"name": "Ana", "name": "Bea"}'),
    "same key twice, escaped": malformed(b'{"name": "Ana", "n\\u0061me": "Bea"}'),
    "deep arrays": malformed(b"[" * 60_000),
    "deep objects": malformed(b'{"name":' * 8000),
    # No object
    "array": invalid(["body"], [{"name": "Ana"}]),
    "string": invalid(["body"], "Ana"),
    "null": invalid(["body"], None),
    # Fields of a session
    "no name": invalid(["name"], {}),
    "name null": invalid(["name"], {"name": None}),
    "name a number": invalid(["name"], {"name": 5}),
    "name an object": invalid(["name"], {"name": {}}),
    "name empty": invalid(["name"], {"name": ""}),
    "name blank": invalid(["name"], {"name": " \t\u2003\u00a0"}),
    "name of 101 letters": invalid(["name"], {"name": "x" * 101}),
    "name of 101 emojis": invalid(["name"], {"name": "🔮" * 101}),
    "name with NUL": invalid(["name"], {"name": "A\0na"}),
    "seats a text": named(max_users="6"),
    "seats a fraction": named(max_users=6.5),
    "seats true": named(max_users=True),
    "seats null": named(max_users=None),
    "no seats": named(max_users=0),
    "negative seats": named(max_users=-1),
    "10001 seats": named(max_users=10_001),
    "huge seats": named(max_users=2**70),
    "password of 7 letters": named(password="x" * 7),
    "password of 129 letters": named(password="x" * 129),
    "password a number": named(password=12_345_678),
    "password with NUL": named(password="opensesame\0"),
    "unknown presence": named(presence="some"),
    "presence in capitals": named(presence="FULL"),
    "presence a number": named(presence=1),
    "spirit a text": named(spirit="true"),
    "spirit a number": named(spirit=1),
    "spirit null": named(spirit=None),
    "unknown way with slow consumers": named(slow_consumers="drop"),
    "slow consumers in capitals": named(slow_consumers="RESYNC"),
    "slow consumers null": named(slow_consumers=None),
    "slow consumers a list": named(slow_consumers=["resync"]),
    "multiple connections a text": named(multiple_connections="true"),
    "multiple connections a number": named(multiple_connections=2),
    "multiple connections null": named(multiple_connections=None),
    "unknown field": named(colour="red"),
    "field in capitals": named(NAME="Ana"),
    "an id of its own": named(id=UNKNOWN),
    "all wrong at once": invalid(
        ["name", "max_users", "password", "presence", "spirit", "extra"],
        {"extra": 1, "spirit": 0, "presence": 0, "password": 0, "max_users": "", "name": 0},
    ),
    # The request around the body
    "no content type": create(415, "unsupported_media_type", [], b'{"name": "Ana"}', ()),
    "text": create(415, "unsupported_media_type", [], b'{"name": "Ana"}', (("Content-Type", "text/plain"),)),
    "form": create(
        415, "unsupported_media_type", [], b"name=Ana", (("Content-Type", "application/x-www-form-urlencoded"),)
    ),
    "another charset": create(
        415, "unsupported_media_type", [], b'{"name": "Ana"}', (("Content-Type", "application/json; charset=latin1"),)
    ),
    "compressed": create(415, "unsupported_media_type", [], b"\x1f\x8b", (*JSON, ("Content-Encoding", "gzip"))),
    "large body": create(413, "payload_too_large", [], b" " * (MAX_BODY_BYTES + 1)),
    "large body in chunks": create(413, "payload_too_large", [], large),
    "long key": create(
        422, "validation_error", ["Idempotency-Key"], b'{"name": "Ana"}', (*JSON, ("Idempotency-Key", "x" * 256))
    ),
    "empty key": create(
        422, "validation_error", ["Idempotency-Key"], b'{"name": "Ana"}', (*JSON, ("Idempotency-Key", ""))
    ),
    "two keys": create(
        422,
        "validation_error",
        ["Idempotency-Key"],
        b'{"name": "Ana"}',
        (*JSON, ("Idempotency-Key", "a"), ("Idempotency-Key", "b")),
    ),
    # Who may publish
    "no token": unauthorized(None),
    "basic credentials": unauthorized(None, (("Authorization", "Basic dXNlcjpwYXNz"),)),
    "bearer of nothing": unauthorized(None, (("Authorization", "Bearer"),)),
    "no JWT": unauthorized(lambda _: "abc"),
    "long token": unauthorized(lambda _: "x" * 5000),
    "another secret": unauthorized(lambda session_id: token(session_id, secret="x" * 40)),
    "unsigned": unauthorized(lambda session_id: jwt.encode({"scope": "host", "sid": session_id}, "", "none")),
    "expired": unauthorized(lambda session_id: token(session_id, exp=int(time.time()) - 60)),
    "without expiry": unauthorized(lambda session_id: token(session_id, exp=None)),
    "another issuer": unauthorized(lambda session_id: token(session_id, iss="elsewhere")),
    "unknown scope": unauthorized(lambda session_id: token(session_id, "root")),
    "a user publishes": forbidden(
        "POST", "/api/sessions/{id}/messages", lambda session_id: token(session_id, "user", sub="1", name="Ana")
    ),
    "another session's host": forbidden("POST", "/api/sessions/{id}/messages", lambda _: token(UNKNOWN)),
    "another session's publisher": forbidden("POST", "/api/sessions/{id}/events", lambda _: token(UNKNOWN, "publish")),
    "a publisher closes": forbidden("DELETE", "/api/sessions/{id}", anywhere),
    "a publisher removes": forbidden("DELETE", f"/api/sessions/{{id}}/users/{UNKNOWN}", anywhere),
    "another host closes": forbidden("DELETE", "/api/sessions/{id}", lambda _: token(UNKNOWN)),
    # Fields of a message
    "no text": message(["text"], {}),
    "text null": message(["text"], {"text": None}),
    "text a list": message(["text"], {"text": ["hi"]}),
    "text blank": message(["text"], {"text": " \n "}),
    "text of 501 letters": message(["text"], {"text": "x" * 501}),
    "text with NUL": message(["text"], {"text": "a\0b"}),
    "speaker blank": message(["user_name"], {"text": "hi", "user_name": " "}),
    "speaker of 51 letters": message(["user_name"], {"text": "hi", "user_name": "x" * 51}),
    "is_spirit a text": message(["is_spirit"], {"text": "hi", "is_spirit": "yes"}),
    "id empty": message(["id"], {"text": "hi", "id": ""}),
    "id a number": message(["id"], {"text": "hi", "id": 7}),
    "id of 65 letters": message(["id"], {"text": "hi", "id": "x" * 65}),
    "message with a user": message(["user_id"], {"text": "hi", "user_id": UNKNOWN}),
    "ack unknown": message(["ack"], {"text": "hi"}, "?ack=stored"),
    "ack nonsense": message(["ack"], {"text": "hi"}, "?ack="),
    # Fields of an event
    "no type": event(["type"], {}),
    "sequenced type": event(["type"], {"type": "message_received"}),
    "type a number": event(["type"], {"type": 1}),
    "typist of 51 letters": event(["user_name"], {"type": "user_typing", "user_name": "x" * 51}),
    # Pages of history
    "before and after": history("before=5&after=1", ["after"]),
    "before 0": history("before=0", ["before"]),
    "after -1": history("after=-1", ["after"]),
    "before a word": history("before=now", ["before"]),
    "before beyond JavaScript": history("before=9007199254740992", ["before"]),
    "limit 0": history("limit=0", ["limit"]),
    "limit 201": history("limit=201", ["limit"]),
    "limit a fraction": history("limit=5.0", ["limit"]),
    "limit nothing": history("limit=", ["limit"]),
    "limit in other digits": history("limit=%D9%A3", ["limit"]),
    "limit twice": history("limit=5&limit=5", ["limit"]),
    "all bounds wrong": history("before=x&limit=x&offset=1", ["before", "limit", "offset"]),
    # Ids, paths and methods
    "session no UUID": Bad("GET", "/api/sessions/1", 404, "session_not_found", ["id"]),
    "session without dashes": Bad("GET", f"/api/sessions/{UNKNOWN.replace('-', '')}", 404, "session_not_found", ["id"]),
    "session NUL": Bad("GET", "/api/sessions/%00/messages", 404, "session_not_found", ["id"]),
    "user no UUID": Bad("DELETE", "/api/sessions/{id}/users/ana", 404, "user_not_found", ["user_id"], token=host),
    "unknown parameter": Bad("GET", "/api/sessions/{id}?verbose=1", 422, "validation_error", ["verbose"]),
    "unknown session": missing("GET", f"/api/sessions/{UNKNOWN}"),
    "history of an unknown session": missing("GET", f"/api/sessions/{UNKNOWN}/messages"),
    "users of an unknown session": missing("GET", f"/api/sessions/{UNKNOWN}/users"),
    "close an unknown session": missing("DELETE", f"/api/sessions/{UNKNOWN}"),
    "publish to an unknown session": missing("POST", f"/api/sessions/{UNKNOWN}/messages", content=b'{"text": "hi"}'),
    "event for an unknown session": missing(
        "POST", f"/api/sessions/{UNKNOWN}/events", content=b'{"type": "user_typing"}'
    ),
    "remove from an unknown session": missing("DELETE", f"/api/sessions/{UNKNOWN}/users/{UNKNOWN}"),
    "remove an unknown user": missing("DELETE", f"/api/sessions/{{id}}/users/{UNKNOWN}", "user_not_found"),
    "unknown path": missing("GET", "/api/rooms", "not_found"),
    "trailing slash": missing("GET", "/api/sessions/{id}/", "not_found"),
    "list of sessions": Bad("GET", "/api/sessions", 405, "method_not_allowed"),
    "replace a session": Bad("PUT", "/api/sessions/{id}", 405, "method_not_allowed"),
    "change a session": Bad("PATCH", "/api/sessions/{id}", 405, "method_not_allowed"),
    "post to health": Bad("POST", "/health", 405, "method_not_allowed"),
}
