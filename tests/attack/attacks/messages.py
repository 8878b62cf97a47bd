"""Commands that cost Redis something: typing, messages with keys, and sessions filled with large messages."""

from itertools import count
from typing import Final

import msgspec

from tests.attack.attack import Arena, Attack
from tests.attack.attacks.floods import flood
from tests.attack.line import LEAVE
from tests.frames import text

_KEYS: Final = count()
_AT_ONCE: Final = 64
_ROOMS: Final = 60
_LARGEST: Final = "\U0001f56f" * 500  # 2 kB: the limit counts characters
_FILLED_AT_ONCE: Final = 16
_WRITES: Final = 20


def _message(**fields: object) -> bytes:
    return text(msgspec.json.encode({"type": "message", "id": 1, **fields}))


async def _messages_with_keys(arena: Arena, number: int) -> None:
    """Each key is new: Redis has to remember each for 5 minutes."""
    async with arena.member(number) as line:
        while True:
            await line.write(b"".join(_message(text="x", key=f"{number} {next(_KEYS)}") for _ in range(_AT_ONCE)))
            arena.tally["messages"] += _AT_ONCE


async def _room_fills(arena: Arena, number: int) -> None:
    """Each life fills another room; with many sockets all rooms at once."""
    visited = arena.visits[number]
    many = _message(text=_LARGEST) * _FILLED_AT_ONCE
    async with arena.line(number, arena.session(number + visited)) as line:
        await line.join(name=f"attacker {number} {visited}")
        for _ in range(_WRITES):
            await line.write(many)
            arena.tally["messages"] += _FILLED_AT_ONCE
        line.say(LEAVE)  # the answer comes when the gateway has taken all of them
        await line.closed(1000)


ATTACKS: Final = (
    Attack("typing", "`typing` commands", flood(text('{"type":"typing"}'))),
    Attack("messages-with-keys", "messages, each with a new key", _messages_with_keys),
    Attack("room-fills", "60 sessions filled with the largest messages", _room_fills, sessions=_ROOMS),
)
