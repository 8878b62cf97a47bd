"""Fast random input: valid frames and commands, mutated byte by byte. Everything follows from one `Random`."""

import json
from random import Random

from tests.frames import client_frame, close

_EDGE_BYTES = (0x00, 0x01, 0x7D, 0x7E, 0x7F, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8A, 0xC1, 0xF4, 0xFE, 0xFF)
_PAYLOADS = (
    b"",
    b"hello",
    "κόσμε".encode(),
    "\U0010ffff\ufffe".encode(),
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"x" * 125,
    b"x" * 126,
    b"y" * 999,
    b"z" * 1001,
)
_COMMANDS = tuple(
    json.dumps(command).encode()
    for command in (
        {"type": "join", "name": "Ana", "password": "secret", "id": 1},
        {"type": "join", "token": "a.b.c", "resume": {"epoch": "e1", "seq": 41}, "id": "j"},
        {"type": "message", "text": " hello \u00e9 ", "key": "k-1", "ack": "accepted", "id": -1},
        {"type": "message", "text": "x" * 500},
        {"type": "typing"},
        {"type": "ping", "id": 9_223_372_036_854_775_807},
        {"type": "leave", "id": None, "more": [1, {"a": [True, False, 1.5e3]}]},
    )
)
_TOKENS = (
    b'"',
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"\\ud83d\\ude00",
    b"\xed\xa0\x80",
    b"{",
    b"}",
    b"[" * 3000,
    b'{"a":' * 2000,
    b"null",
    b"-9223372036854775809",
    b"18446744073709551616",
    b"1e999",
    b"1.0",
    b"NaN",
    b"\xef\xbb\xbf",
    b'"id":"' + b"i" * 65 + b'",',
    b'"type":"ping",',
    b"\xe2\x80\xae",
    b" ",
)


def stream(random: Random) -> bytes:
    """Some frames of a client, wrong in a few places at most."""
    data = bytearray(b"".join(_frame(random) for _ in range(random.randint(1, 5))))
    for _ in range(random.choice((0, 1, 1, 2, 3, 8))):
        mutate(random, data)
    return bytes(data)


def command(random: Random) -> bytes:
    """A frame's payload: a command, wrong in a few places at most."""
    data = bytearray(random.choice(_COMMANDS))
    for _ in range(random.choice((0, 1, 1, 2, 3, 8))):
        if random.random() < 0.5:
            place = random.randint(0, len(data))
            data[place : place + random.choice((0, 0, 1, 4))] = random.choice(_TOKENS)
        else:
            mutate(random, data)
    return bytes(data)


def cuts(random: Random, size: int) -> list[int]:
    """Places at which the network may have cut a stream of this size."""
    return [random.randint(0, size) for _ in range(random.randint(0, 6))]


def _frame(random: Random) -> bytes:
    if random.random() < 0.05:
        return close(random.choice((None, 1000, 1005, 3000, 5000)), random.choice(_PAYLOADS)[:123])
    opcode = random.choice((0, 0, 1, 1, 1, 2, 9, 10))
    payload = random.choice(_PAYLOADS)
    if opcode > 8:
        payload = payload[:125]
    return client_frame(opcode, payload, final=opcode > 8 or random.random() < 0.6, mask=random.randbytes(4))


def mutate(random: Random, data: bytearray) -> None:
    """One random change somewhere."""
    if not data:
        data += random.randbytes(3)
    start = random.randrange(len(data))
    stop = min(len(data), start + random.choice((1, 1, 2, 4, 16, 200)))
    match random.randrange(6):
        case 0:
            data[start] ^= 1 << random.randrange(8)
        case 1:
            data[start] = random.choice(_EDGE_BYTES)
        case 2:
            del data[start:stop]
        case 3:
            data[start:start] = data[start:stop]
        case 4:
            data[start:start] = random.randbytes(stop - start)
        case _:
            data[start:stop] = bytes(stop - start)
