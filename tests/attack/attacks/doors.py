"""Coming and going: joins and leaves, resumes, passwords that are guessed, sessions that are created."""

import asyncio
from typing import Final

import msgspec

from tests.attack.attack import Arena, Attack
from tests.attack.http import Requests
from tests.attack.line import LEAVE
from tests.frames import text

PASSWORD: Final = "the right password"
_HISTORY_MESSAGES: Final = 40
_SMALL: Final = text('{"type":"message","text":"history"}')


async def _joins_and_leaves(arena: Arena, number: int) -> None:
    """A new user each time: a seat, `user_joined` and `user_left` for everybody."""
    async with arena.line(number) as line:
        await line.join(name=f"attacker {number} {arena.tally['joins']}")
        line.say(LEAVE)
        await line.closed(1000)


async def _resumes(arena: Arena, number: int) -> None:
    """The same user comes back at once, and asks for everything from the first event on."""
    known = arena.welcomes.get(number)
    if known is None:
        async with arena.member(number) as line:
            await line.write(_SMALL * _HISTORY_MESSAGES)
        return
    async with arena.line(number) as line:
        await line.join(token=known.token, resume={"epoch": known.epoch, "seq": 1})


async def _password_guesses(arena: Arena, number: int) -> None:
    async with arena.line(number) as line:
        guess = f"guess {number} {arena.tally['connections']}"
        line.say(text(msgspec.json.encode({"type": "join", "name": f"attacker {number}", "password": guess})))
        await line.closed(4501)
        arena.tally["guesses"] += 1


async def _password_sessions(arena: Arena, number: int) -> None:
    async with Requests.open(arena.port(number), arena.order.source) as requests:
        while True:
            body = {"name": "attack", "password": f"password {number}"}
            status = await requests.post("/api/sessions", body)
            arena.tally["connections"] += 1
            arena.tally[f"HTTP {status}"] += 1
            await asyncio.sleep(0)


ATTACKS: Final = (
    Attack("joins-and-leaves", "a new user joins and leaves, again and again", _joins_and_leaves),
    Attack("resumes", "a user comes back again and again and asks for every event", _resumes),
    Attack("password-guesses", "wrong passwords", _password_guesses, fields={"password": PASSWORD}),
    Attack("password-sessions", "sessions with a password created over REST", _password_sessions),
)
