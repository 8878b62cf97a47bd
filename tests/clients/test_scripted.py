"""The Python client against the scripted gateway: every script, and what has to come of it."""

import asyncio
import contextlib
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from seance_client import (
    Client,
    CommandError,
    Connected,
    Disconnected,
    EndedError,
    ErrorReceived,
    Event,
    Gap,
    InvalidMessageError,
    MessageReceived,
    NotRecovered,
    NotStoredError,
    Persisted,
    Policy,
    PresenceChanged,
    Recovered,
    SeanceError,
    SessionClosed,
    SpiritThinking,
    TokenExpiring,
    TokenRenewed,
    UnconfirmedError,
    Unknown,
    UserJoined,
    UserLeft,
    UserTyping,
)

from tests.clients.following import DEADLINE_SECONDS
from tests.clients.scripted.scripts import SCRIPTS
from tests.gateways import inherited

Json = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]

_runs = itertools.count(1)
_ERRORS: dict[type[SeanceError], str] = {
    EndedError: "ended",
    InvalidMessageError: "invalid",
    NotStoredError: "not_stored",
    CommandError: "refused",
    UnconfirmedError: "unconfirmed",
}


@pytest.fixture(scope="module")
def scripted_url() -> Iterator[str]:
    """Where the scripted gateway answers: a process, as it is for clients in other languages."""
    command = (sys.executable, "-m", "tests.clients.scripted")
    with subprocess.Popen(command, cwd=ROOT, env=inherited(is_measured=False), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
        process.terminate()


class Player:
    """Does what a script says, and tells what came of it in the scripts' words."""

    def __init__(self, url: str, script: Json) -> None:
        self.session_id = f"{script['name']}~{next(_runs)}"
        self._script = script
        self._events: list[Json] = []
        self._came = asyncio.Condition()
        self._sends: list[asyncio.Task[Json]] = []
        options = script["client"]
        seconds = options.get("join_timeout_ms", 10_000) / 1000
        policy = Policy(backoff_base=0.01, backoff_cap=0.02, limited_wait=0, join_timeout=seconds)
        self._client = Client(
            url,
            self.session_id,
            name=options["name"],
            policy=policy,
            wants_batches=options.get("wants_batches", False),
            get_token=partial(_answer, iter(options["tokens"])) if "tokens" in options else None,
        )

    async def outcome(self) -> Json:
        """Play; what came of it, as `expect` says it."""
        reading = asyncio.create_task(self._read())
        with contextlib.suppress(EndedError):
            await self._client.connect()
        expected = self._script["expect"]
        for action in self._script["do"]:
            await self._act(action)
        sends = [await send for send in self._sends]
        if expected["ends"] is None:
            async with self._came:
                await self._came.wait_for(lambda: len(self._events) >= len(expected["events"]) or reading.done())
            await self._client.leave()
        ends = await reading
        await self._client.close()
        return {"events": self._events, "sends": sends, "ends": ends}

    async def _read(self) -> int | None:
        try:
            async for event in self._client:
                async with self._came:
                    self._events.append(neutral(event))
                    self._came.notify_all()
        except EndedError as error:
            return error.code
        return None

    async def _act(self, action: Json) -> None:
        match action:
            case {"send": str(text), **options}:
                self._sends.append(asyncio.create_task(self._send(text, options)))
                # The call has to happen now, before the next action.
                await asyncio.wait({self._sends[-1]}, timeout=0)
            case {"until": dict(wanted)}:
                async with self._came:
                    await self._came.wait_for(lambda: any(wanted.items() <= event.items() for event in self._events))

    async def _send(self, text: str, options: Json) -> Json:
        try:
            ack = await self._client.send(text, key=options.get("key"), ack=options.get("ack", "accepted"))
        except SeanceError as error:
            return {"error": next(name for kind, name in _ERRORS.items() if isinstance(error, kind))}
        return {"ack": ack.seq}


async def _answer(tokens: Iterator[str | Json | None]) -> str | None:
    """What the application gives as the next token."""
    match next(tokens):
        case {"fails": str(reason)}:
            raise OSError(reason)
        case str(token):
            return token
        case _:
            return None


def neutral(event: Event) -> Json:  # noqa: C901, PLR0911, PLR0912 - one line for each event
    """An event in the scripts' words."""
    match event:
        case Connected():
            return {"connected": True}
        case Recovered(source):
            return {"recovered": source}
        case NotRecovered(previous):
            return {"not_recovered": [previous.epoch, previous.seq]}
        case Disconnected(code, _, will_retry):
            return {"disconnected": code, "retry": will_retry}
        case ErrorReceived(code):
            return {"error": code}
        case MessageReceived(seq, text=text):
            return {"message": text, "seq": seq}
        case UserJoined(user=user):
            return {"joined": user.name}
        case UserLeft(user=user):
            return {"left": user.name}
        case UserTyping(user=user):
            return {"typing": user.name}
        case SessionClosed(seq):
            return {"closed": seq}
        case SpiritThinking():
            return {"thinking": True}
        case PresenceChanged(user_count=count):
            return {"count": count}
        case Persisted(seq):
            return {"persisted": seq}
        case Gap(first, last):
            return {"gap": [first, last]}
        case TokenExpiring(seconds):
            return {"token_expiring": seconds}
        case TokenRenewed(token):
            return {"token_renewed": token}
        case Unknown(kind):
            return {"unknown": kind}


@pytest.fixture(scope="module")
def http(scripted_url: str) -> Iterator[httpx.Client]:
    """For the control API; made once, since it loads certificates."""
    with httpx.Client(base_url=scripted_url, timeout=DEADLINE_SECONDS) as http:
        yield http


@pytest.mark.parametrize("name", SCRIPTS)
async def test_the_client_follows_the_script(http: httpx.Client, name: str) -> None:
    """The client does what the script expects, and the gateway reports no problem."""
    player = Player(str(http.base_url), SCRIPTS[name])
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            outcome = await player.outcome()
    finally:
        report = (await asyncio.to_thread(http.get, f"/runs/{player.session_id}")).json()
        assert report["problems"] == []
    assert outcome == SCRIPTS[name]["expect"]


def test_scripts_are_served_as_data(http: httpx.Client) -> None:
    """Clients in other languages get every script over HTTP."""
    assert http.get("/scripts").json() == list(SCRIPTS.values())
