"""The words that the scripts are made of: steps of the gateway, events of the client, a whole script."""

from typing import Any

Json = dict[str, Any]

EPOCH, OTHER_EPOCH, TOKEN = "k3v9Qz1x", "another1", "token-of-ana"
JOIN: Json = {"expect": {"type": "join", "name": "Ana", "token": None, "resume": None}}
SAYS: Json = {"expect": {"type": "message", "text": "hi"}}
WELCOME: Json = {"welcome": {}}
CONNECTED: Json = {"connected": True}
CUT = 1006


def resume(seq: int, epoch: str = EPOCH, token: str = TOKEN) -> Json:
    """The join of a client that comes back."""
    return {"expect": {"type": "join", "token": token, "resume": {"epoch": epoch, "seq": seq}}}


def back(seq: int, missed: int = 0, source: str = "log") -> Json:
    """The welcome of a resume that succeeded."""
    return {"welcome": {"seq": seq, "resumed": {"recovered": True, "source": source, "missed": missed}}}


def lost(code: int, *, retry: bool = True) -> Json:
    """The event of a connection that ended."""
    return {"disconnected": code, "retry": retry}


def recovered(source: str = "log") -> list[Json]:
    """The events of a resume that succeeded."""
    return [CONNECTED, {"recovered": source}]


def ending(code: int) -> Json:
    """The step that ends a connection so."""
    return {"cut": True} if code == CUT else {"close": code}


def says(seq: int, text: str) -> Json:
    """The event of a message."""
    return {"message": text, "seq": seq}


def script(
    name: str,
    *connections: list[Json],
    events: list[Json],
    do: list[Json] | None = None,
    sends: list[Json] | None = None,
    ends: int | None = None,
    **client: object,
) -> Json:
    """One script."""
    expect = {"events": events, "sends": sends or [], "ends": ends}
    options = {"name": "Ana", **client}
    return {"name": name, "client": options, "do": do or [], "connections": list(connections), "expect": expect}
