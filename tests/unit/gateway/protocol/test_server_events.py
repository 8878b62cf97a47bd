"""The events that a gateway makes itself: their exact JSON."""

import json
from typing import Any

import msgspec
import pytest

from broker.events import User
from broker.sessions.live_sessions import SessionInfo
from gateway.protocol import close_codes, server_events
from gateway.protocol.commands import CommandId
from gateway.protocol.server_events import ErrorData, Resumed, Welcome

INFO = SessionInfo("s1", "Evening", "2026-11-22T21:05:00.123Z", 6, "full", spirit=True, password_hash="$argon2id$x")
IDS: list[tuple[CommandId, dict[str, Any]]] = [
    (None, {}),
    (0, {"id": 0}),
    (-(2**63), {"id": -(2**63)}),
    ("", {"id": ""}),
    ('a"b\n\N{GHOST}', {"id": 'a"b\n\N{GHOST}'}),
]


@pytest.mark.parametrize(("command_id", "echoed"), IDS)
def test_the_id_is_echoed(command_id: CommandId, echoed: dict[str, Any]) -> None:
    """Answers have the command's id unchanged, and no id when the command had none."""
    assert json.loads(server_events.pong(command_id)) == {"type": "pong", **echoed, "data": {}}
    assert json.loads(server_events.ack(command_id, 42, "m1")) == {
        "type": "ack",
        **echoed,
        "data": {"seq": 42, "message_id": "m1", "level": "accepted"},
    }
    assert json.loads(server_events.error(command_id, ErrorData("malformed", "no"))) == {
        "type": "error",
        **echoed,
        "data": {"code": "malformed", "message": "no", "retryable": False},
    }


def test_an_error_has_its_field_and_retry_delay() -> None:
    """An error says whether a retry helps, and names its field and delay when it has them."""
    data = ErrorData("unavailable", "wait", retryable=True, field="text", retry_after_ms=800)
    assert json.loads(server_events.error(7, data))["data"] == {
        "code": "unavailable",
        "message": "wait",
        "retryable": True,
        "field": "text",
        "retry_after_ms": 800,
    }


def test_a_welcome_has_every_field_of_the_contract() -> None:
    """The welcome has every field of the contract, users as Redis holds them, and no secret but the token."""
    data = Welcome(
        session=server_events.session_of(INFO),
        you=User("u1", "Ana"),
        users=(msgspec.Raw(b'{"id":"u1","name":"Ana"}'), msgspec.Raw(b'{"id":"u2","name":"Ben"}')),
        user_count=2,
        seq=7,
        epoch="k3v9",
        token="t",
        token_expires_in_seconds=3600,
        resumed=Resumed(recovered=True, source="log", missed=3),
        heartbeat_seconds=25,
    )
    assert json.loads(server_events.welcome("j", data)) == {
        "type": "welcome",
        "id": "j",
        "data": {
            "session": {
                "id": "s1",
                "name": "Evening",
                "created_at": "2026-11-22T21:05:00.123Z",
                "max_users": 6,
                "presence": "full",
                "spirit": True,
            },
            "you": {"id": "u1", "name": "Ana"},
            "users": [{"id": "u1", "name": "Ana"}, {"id": "u2", "name": "Ben"}],
            "user_count": 2,
            "seq": 7,
            "epoch": "k3v9",
            "token": "t",
            "token_expires_in_seconds": 3600,
            "resumed": {"recovered": True, "source": "log", "missed": 3},
            "heartbeat_seconds": 25,
        },
    }


def test_a_welcome_without_a_resume_recovered_nothing() -> None:
    """Without a resume `recovered` is false and `source` is `none`."""
    assert msgspec.to_builtins(Resumed()) == {"recovered": False, "source": "none", "missed": 0}


def test_notices_have_no_id() -> None:
    """Events that answer no command have no id."""
    assert json.loads(server_events.gap(3, 5)) == {"type": "gap", "data": {"from": 3, "to": 5}}
    ts = "2026-11-22T21:05:00.123Z"
    expected = {"type": "presence_changed", "ts": ts, "data": {"user_count": 12}}
    assert json.loads(server_events.presence_changed(ts, 12)) == expected
    assert json.loads(server_events.reconnect("restart", 1000)) == {
        "type": "reconnect",
        "data": {"reason": "restart", "after_ms": 1000},
    }


def test_every_close_with_an_error_has_a_code() -> None:
    """The schema of errors names every reply error and every close that an error precedes."""
    schema = msgspec.json.schema_components([ErrorData])[1]["ErrorData"]
    codes = {*server_events.ERRORS, *(ending.name for ending in close_codes.ALL if ending.code >= 4000)}
    assert set(schema["properties"]["code"]["enum"]) == codes
