"""The same few bytes again and again, as fast as the gateway takes them: control frames, fragments, small commands."""

from functools import partial
from typing import Final

from tests.attack.attack import Arena, Attack, Life
from tests.frames import client_frame, text

_CHUNK_BYTES: Final = 65_536
_BURST_BYTES: Final = 3 * 1024 * 1024
_LITTLE_BYTES: Final = 4096
PING: Final = client_frame(9)
PONG: Final = client_frame(10)
COMMAND_PING: Final = text('{"type":"ping","id":1}')
# Neither is malformed: more than 30 malformed frames in a row would end the connection.
INVALID: Final = text('{"type":"sing","id":1}') + text('{"type":"message","id":2,"text":""}')
_BEGUN: Final = client_frame(1, final=False)
_GOES_ON: Final = client_frame(0, final=False)


def chunk(frames: bytes) -> bytes:
    """The frames as often as they fit into one write."""
    return frames * (_CHUNK_BYTES // len(frames))


async def _flood(frames: bytes, begin: bytes, arena: Arena, number: int) -> None:
    """Join, then send without end."""
    many = chunk(frames)
    async with arena.member(number) as line:
        line.say(begin)
        while True:
            await line.write(many)


def flood(frames: bytes, begin: bytes = b"") -> Life:
    """A life that joins, sends `begin`, and then `frames` without end."""
    return partial(_flood, frames, begin)


async def _before_join(arena: Arena, number: int) -> None:
    many = chunk(PING)
    async with arena.line(number) as line:
        while True:
            await line.write(many)


async def _burst(arena: Arena, number: int) -> None:
    async with arena.member(number) as line:
        await line.write(PING * (_BURST_BYTES // len(PING)))
        await line.over()


async def _never_reads(arena: Arena, number: int) -> None:
    many = chunk(COMMAND_PING)
    async with arena.line(number, receive_bytes=_LITTLE_BYTES) as line:
        await line.join(name=f"attacker {number}")
        line.stop_reading()
        while True:
            await line.write(many)


ATTACKS: Final = (
    Attack("pings", "empty pings", flood(PING)),
    Attack("pings-before-join", "empty pings of sockets that never join", _before_join),
    Attack("pongs", "pongs that nobody asked for", flood(PONG)),
    Attack("ping-burst", "3 MiB of empty pings in one burst", _burst, sockets=(1,), seconds=5.0),
    Attack("command-pings", "`ping` commands", flood(COMMAND_PING)),
    Attack("invalid-commands", "commands that are refused, each with an answer", flood(INVALID)),
    Attack("empty-fragments", "one message of empty fragments that never ends", flood(_GOES_ON, _BEGUN)),
    Attack("never-reads", "`ping` commands of a client that reads no answer", _never_reads),
)
