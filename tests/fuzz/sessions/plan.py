"""Random plans: who comes, says what, and goes, round by round. Everything follows from one `Random`.

A plan is data, so that a plan that found something can be repeated and made smaller (shrinking.py). A step that does
not fit any more, because another step was taken out, is passed over when the plan is played.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from random import Random
from typing import Final, Literal

import msgspec

from gateway.protocol.commands import CommandError, CommandId, Join, Leave, Message, Ping, decode
from tests.contract.bad_websocket_inputs import ANSWERED, BAD_FIRST, BROKEN, LIMIT
from tests.frames import client_frame, text
from tests.fuzz import mutations

CLIENTS: Final = 6
ROUNDS: Final = 12
_MOST_FRAMES: Final = 20
_KEYS: Final = 4
_SHOWN_BYTES: Final = 200
_TEXTS: Final = ("hi", "κόσμε", "a\u0301", "\U0001f56f" * 40, "x" * 500, " spaces around ", '"\\/</script>', "\ufffe")

Answer = Literal["ack", "pong", "error", "none"]
Ending = Literal["stay", "leave", "close", "cut", "violation"]
Way = Literal["name", "token", "resume", "taken", "bad_token", "bad_first", "no_session"]


class Said(msgspec.Struct, frozen=True):
    """Frames that hold one command, and what the contract says to it."""

    data: bytes
    answer: Answer
    id: CommandId = None
    code: str = ""
    """Of an error."""
    text: str = ""
    """Of a message, as the others get it."""
    key: str | None = None
    is_persisted: bool = False


class Talk(msgspec.Struct, frozen=True, tag=True):
    """A connected client says this in one go, and then stays or goes."""

    said: Sequence[Said]
    ending: Ending
    violation: str = ""
    """Which entry of `BROKEN`."""


class Come(msgspec.Struct, frozen=True, tag=True):
    """A client that is not connected joins in this way."""

    way: Way
    gateway: int
    first: str = ""
    """Which entry of `BAD_FIRST`."""


class Again(msgspec.Struct, frozen=True, tag=True):
    """A connected client connects a second time with its token."""

    gateway: int


class Serve(msgspec.Struct, frozen=True, tag=True):
    """A server publishes these texts over REST."""

    texts: Sequence[str]
    gateway: int


class Remove(msgspec.Struct, frozen=True, tag=True):
    """The host removes the client, which does not come back."""

    gateway: int


Action = Talk | Come | Again | Serve | Remove


class Turn(msgspec.Struct, frozen=True):
    """What one client does in a round; all turns of a round happen at once."""

    client: int
    action: Action


class Plan(msgspec.Struct, frozen=True):
    """A whole conversation."""

    rounds: Sequence[Sequence[Turn]]

    def __str__(self) -> str:
        return "\n".join(
            f"round {number}, client {turn.client}: {_shown(turn.action)}"
            for number, turns in enumerate(self.rounds, 1)
            for turn in turns
        )

    def frames(self) -> int:
        """How many inputs there are."""
        return sum(
            len(turn.action.said) if isinstance(turn.action, Talk) else 1 for turns in self.rounds for turn in turns
        )


def _shown(action: Action) -> str:
    if not isinstance(action, Talk):
        return str(action)
    said = [f"\n    {each.answer} {each.code} id={each.id!r} of {each.data[:_SHOWN_BYTES]!r}" for each in action.said]
    return "".join((f"Talk, then {action.ending} {action.violation if action.ending == 'violation' else ''}", *said))


def plan(random: Random, gateways: int, *, is_limited: bool = False) -> Plan:
    """A random plan for so many gateways; `is_limited`: for gateways that refuse messages when there are too many."""
    is_connected = [False] * CLIENTS
    rounds = []
    for number in range(ROUNDS):
        turns = []
        for client in range(CLIENTS):
            if number and random.random() < 0.2:
                continue
            action = _action(random, gateways, is_connected=is_connected[client], is_limited=is_limited)
            match action:
                case Come(way="name" | "token" | "resume"):
                    is_connected[client] = True
                case Talk(ending=ending) if ending != "stay":
                    is_connected[client] = False
                case Remove():
                    is_connected[client] = False
                case _:
                    pass
            turns.append(Turn(client, action))
        rounds.append(turns)
    return Plan(rounds)


def _action(random: Random, gateways: int, *, is_connected: bool, is_limited: bool) -> Action:
    gateway = random.randrange(gateways)
    dice = random.random()
    if dice < 0.03:
        return Serve([random.choice(_TEXTS).strip() for _ in range(random.randint(1, 3))], gateway)
    if not is_connected:
        way: Way = random.choice(
            ("name", "name", "token", "resume", "resume", "resume", "taken", "bad_token", "bad_first", "no_session")
        )
        return Come(way, gateway, random.choice(list(BAD_FIRST)))
    if dice < 0.08:
        return Again(gateway)
    if dice < 0.09:
        return Remove(gateway)
    return _talk(random, is_limited=is_limited)


def _talk(random: Random, *, is_limited: bool) -> Talk:
    ending: Ending = random.choice(("stay",) * 16 + ("leave", "close", "cut", "violation"))
    said = [_said(random) for _ in range(random.randint(1, _MOST_FRAMES))]
    if ending != "stay":
        # Whether such a message arrived is not known, so nobody could know what its key brings later.
        said = [each for each in said if each.key is None]
    if is_limited:
        said = list(_distinct(said))
    return Talk([each for each in said if each.answer != "none" or each.data], ending, random.choice(list(BROKEN)))


def _distinct(said: Iterable[Said]) -> Iterator[Said]:
    """Only messages of which a refusal tells which one is meant, and whose refusal changes nothing for later ones."""
    ids: set[CommandId] = set()
    for each in said:
        if each.answer == "ack" and (each.key is not None or each.id in ids):
            continue
        if each.answer == "ack":
            ids.add(each.id)
        yield each


def _said(random: Random) -> Said:
    dice = random.random()
    if dice < 0.5:
        return _message(random)
    if dice < 0.65:
        data, answer = ANSWERED[random.choice(list(ANSWERED))]
        return _table(data, answer)
    if dice < 0.72:
        return Said(client_frame(random.choice((9, 10)), random.randbytes(random.randint(0, 125))), "none")
    payload = mutations.command(random)
    if len(payload) > LIMIT or not _is_utf8(payload):
        return Said(text('{"type":"typing"}'), "none")  # the payload would end the connection
    return _any(payload, _cut(random, payload))


def _is_utf8(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


def _message(random: Random) -> Said:
    command_id = random.choice((random.randrange(1000), "id", None))
    fields = {"type": "message", "id": command_id, "text": random.choice(_TEXTS)}
    if random.random() < 0.3:
        fields["key"] = f"key {random.randrange(_KEYS)}"
    if random.random() < 0.1:
        fields["ack"] = "persisted"
    payload = json.dumps(fields, ensure_ascii=random.random() < 0.5).encode()
    return _any(payload, _cut(random, payload))


def _cut(random: Random, payload: bytes) -> bytes:
    """The payload in one frame or in several, some of them empty."""
    if random.random() < 0.8:
        return text(payload)
    places = sorted(random.randint(0, len(payload)) for _ in range(random.randint(1, 4)))
    parts = [payload[begin:end] for begin, end in zip([0, *places], [*places, len(payload)], strict=True)]
    last = len(parts) - 1
    return b"".join(client_frame(0 if place else 1, part, final=place == last) for place, part in enumerate(parts))


def _any(payload: bytes, data: bytes) -> Said:
    """What the decoder says to the payload, which tests/fuzz/properties.py holds to the contract."""
    try:
        command = decode(payload)
    except CommandError as error:
        return Said(data, "error", error.command_id, error.code)
    match command:
        case Message():
            return Said(
                data, "ack", command.id, text=command.text, key=command.key, is_persisted=command.ack == "persisted"
            )
        case Ping():
            return Said(data, "pong", command.id)
        case Join():
            return Said(data, "error", command.id, "validation_error")
        case Leave():
            return Said(b"", "none")  # a plan says by itself who leaves
        case _:
            return Said(data, "none")


def _table(data: bytes, answer: object) -> Said:
    assert isinstance(answer, dict)
    if answer["type"] != "error":
        return Said(b"", "none")
    return Said(data, "error", answer.get("id"), answer["data"]["code"])
