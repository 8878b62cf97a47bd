"""The AsyncAPI 3.0 document of the WebSocket, made from the structs that decode commands and encode events."""

from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Any, get_args

import msgspec

from broker import events
from gateway.protocol import close_codes, commands, server_events
from gateway.protocol.frames import CloseCode
from gateway.protocol.handshake import BATCH_SUBPROTOCOL
from gateway.rest import examples

CHANNEL = "session"
COMMANDS: tuple[type[msgspec.Struct], ...] = get_args(commands.Command)
EPHEMERAL: tuple[type[msgspec.Struct], ...] = (
    events.SpiritThinking,
    events.UserTyping,
    server_events.PresenceChangedEvent,
)
SEQUENCED: tuple[type[msgspec.Struct], ...] = get_args(events.Stored)
ANSWERS: tuple[type[msgspec.Struct], ...] = (
    server_events.WelcomeEvent,
    server_events.AckEvent,
    server_events.PongEvent,
    server_events.TokenRenewedEvent,
    server_events.ErrorEvent,
)
NOTICES: tuple[type[msgspec.Struct], ...] = (
    server_events.PersistedEvent,
    server_events.GapEvent,
    server_events.TokenExpiringEvent,
    server_events.ReconnectEvent,
)
EVENTS = (*ANSWERS, *SEQUENCED, *EPHEMERAL, *NOTICES)

_DESCRIPTION = f"""Live sessions over WebSocket, seen from the gateway, which receives a client's commands and sends \
answers and events. Text frames of JSON, one object per frame; the first command must be `join`, and must come in \
time.

Sequenced events carry `seq`, rising by exactly 1 in a session, the same for every client; `ts` is the event's time. \
Answers carry the `id` of their command when it had one. A client that resumes with its last `epoch` and `seq` gets \
the events that it missed.

A client that asks for the subprotocol `{BATCH_SUBPROTOCOL}` may get a JSON array of these objects in one frame when \
several came together (see the message `batch`)."""
_REPLY_TO = {"join": "welcome", "message": "ack", "ping": "pong", "refresh": "token_renewed"}
_REFUSALS = {
    400: "malformed_request: no Host or two, a body, or a wrong `Sec-WebSocket-Key`.",
    403: "forbidden: the `Origin` is neither the gateway's own nor among CORS_ORIGINS, or is none.",
    404: "session_not_found.",
    421: "misdirected_request: the `Host` is not among ALLOWED_HOSTS.",
    426: "upgrade_required: the request does not ask for a WebSocket.",
    429: "too_many_connections from this address.",
    503: "unavailable: draining, full, or Redis or Postgres can't be reached; `Retry-After` says when to try again.",
}
_PROTOCOL_CLOSES = {
    CloseCode.PROTOCOL_ERROR: "a rule of RFC 6455 was broken",
    CloseCode.INVALID_DATA: "a text frame is not UTF-8",
    CloseCode.TOO_BIG: "the message is larger than MAX_FRAME_BYTES",
}

Json = dict[str, Any]


def document(prefix: str = "") -> Json:
    """The whole document, ready for JSON; `prefix` is what ROOT_PATH says."""
    received = {name_of(struct): _message(struct, examples.COMMANDS, "Client{name}") for struct in COMMANDS}
    sent = {name_of(struct): _message(struct, examples.EVENTS, "{name}") for struct in EVENTS}
    sent["batch"] = _batch()
    # A command and an event never have the same name.
    messages = {**received, **sent}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Séance", "version": version("seance"), "description": _DESCRIPTION},
        "defaultContentType": "application/json",
        "servers": {
            "gateway": _server("ws", prefix, "Any gateway, or the balancer before them."),
            "secure": _server("wss", prefix, "The same behind TLS."),
        },
        "channels": {CHANNEL: _channel(messages)},
        "operations": _operations(received, sent),
        "components": {"messages": messages, "schemas": _schemas()},
    }


def name_of(struct: type[msgspec.Struct]) -> str:
    """The `type` of its objects."""
    return str(struct.__struct_config__.tag)


def _server(protocol: str, prefix: str, description: str) -> Json:
    host = {"default": "localhost:8000", "description": "Host and port."}
    server = {"host": "{host}", "protocol": protocol, "description": description, "variables": {"host": host}}
    return server | ({"pathname": prefix} if prefix else {})


def _channel(messages: Iterable[str]) -> Json:
    headers = {
        "type": "object",
        "properties": {"Sec-WebSocket-Protocol": {"type": "string", "examples": [BATCH_SUBPROTOCOL]}},
    }
    return {
        "address": "/ws/{session_id}",
        "title": "A session",
        "description": "One connection of one user to one session, from the join to the close.",
        "parameters": {"session_id": {"description": "The session's id, as `POST /api/sessions` gave it: a UUID."}},
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {"ws": {"method": "GET", "headers": headers, "bindingVersion": "0.1.0"}},
        "x-refusals": [{"status": status, "meaning": meaning} for status, meaning in _REFUSALS.items()],
        "x-closes": _closes(),
        "x-errors": [{"code": code, "meaning": meaning} for code, meaning in server_events.ERRORS.items()],
    }


def _closes() -> list[Json]:
    broken = [close_codes.Ending(code, code.name.lower(), text) for code, text in _PROTOCOL_CLOSES.items()]
    return [
        {"code": int(end.code), "name": end.name, "message": end.message, "reconnect": end.is_retryable}
        for end in sorted((*close_codes.ALL, *broken), key=lambda end: end.code)
    ]


def _operations(received: Iterable[str], sent: Iterable[str]) -> Json:
    operations: Json = {}
    for name in received:
        operations[name] = _operation("receive", [name])
        if name in _REPLY_TO:
            operations[name]["reply"] = {"channel": _channel_ref(), "messages": _refs([_REPLY_TO[name], "error"])}
    operations["events"] = _operation("send", list(sent))
    operations["events"]["summary"] = "Everything that a client may get."
    return operations


def _operation(action: str, names: Sequence[str]) -> Json:
    return {"action": action, "channel": _channel_ref(), "messages": _refs(names)}


def _channel_ref() -> Json:
    return {"$ref": f"#/channels/{CHANNEL}"}


def _refs(names: Iterable[str]) -> list[Json]:
    return [{"$ref": f"#/channels/{CHANNEL}/messages/{name}"} for name in names]


def _message(struct: type[msgspec.Struct], given: Iterable[msgspec.Struct], schema_name: str) -> Json:
    description = struct.__doc__ or ""
    return {
        "name": name_of(struct),
        "summary": description,
        "tags": [{"name": _kind(struct)}],
        "payload": {"$ref": f"#/components/schemas/{schema_name.format(name=struct.__name__)}"},
        "examples": [{"payload": _plain(example)} for example in given if type(example) is struct],
    }


def _batch() -> Json:
    payload = {"type": "array", "minItems": 1, "items": {"oneOf": [_schema_ref(struct) for struct in EVENTS]}}
    several = [e for e in examples.EVENTS if isinstance(e, events.MessageReceived | events.SpiritThinking)]
    return {
        "name": "batch",
        "summary": f"Events that came together, in order; only with the subprotocol `{BATCH_SUBPROTOCOL}`.",
        "tags": [{"name": "batch"}],
        "payload": payload,
        "examples": [{"payload": [_plain(example) for example in several]}],
    }


def _kind(struct: type[msgspec.Struct]) -> str:
    kinds = {"command": COMMANDS, "sequenced": SEQUENCED, "ephemeral": EPHEMERAL, "answer": ANSWERS, "notice": NOTICES}
    return next(kind for kind, structs in kinds.items() if struct in structs)


def _plain(example: msgspec.Struct) -> Json:
    """The example as it travels; what a client leaves out is left out."""
    plain: Json = msgspec.json.decode(msgspec.json.encode(example))
    head = {name: plain[name] for name in ("type", "id", "seq", "ts") if plain.get(name) is not None}
    if type(example) in COMMANDS:
        return {**head, **{name: value for name, value in plain.items() if value is not None}}
    return {**head, "data": plain["data"]}


def _schema_ref(struct: type[msgspec.Struct]) -> Json:
    return {"$ref": f"#/components/schemas/{struct.__name__}"}


def _schemas() -> Json:
    _, ours = msgspec.json.schema_components(EVENTS, ref_template="#/components/schemas/{name}")
    _, theirs = msgspec.json.schema_components(COMMANDS, ref_template="#/components/schemas/Client{name}")
    for struct in SEQUENCED:
        # The script that publishes gives it.
        schema = ours[struct.__name__]
        schema["properties"]["seq"] = {"type": "integer", "minimum": 1}
        schema["required"] = ["type", "seq", "ts", "data"]
    return {**ours, **{f"Client{name}": schema for name, schema in theirs.items()}}
