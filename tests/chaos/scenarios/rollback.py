"""Redis goes back to an older state, across the removal of a user and the close of a session."""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx

from tests.chaos.ledger import Barred, Tried
from tests.chaos.person import Habits
from tests.chaos.scenarios.kills import RATE, settle_in
from tests.chaos.stack import Stack
from tests.chaos.stage import UNBOUNDED, Scenario, Stage
from tests.raw_client import HEADERS, ClosedByServerError, RawClient, request
from tests.rest import call, create_session

_STORED_SECONDS = 20.0
_REFUSED_SECONDS = 30.0
_AGAIN_SECONDS = 0.1
# What a client may expect to pass; every other error is an answer.
_PASSING = frozenset({"unavailable", "resync", "restart"})

Json = dict[str, Any]


@dataclass
class Guest:
    """Somebody who was admitted to a session once: the session, the user, and the token to come back with."""

    session: Json
    user: str
    token: str


async def redis_rolled_back(stage: Stage[Stack]) -> None:
    """Who was removed stays out, and what was closed stays closed, on every gateway; what was persisted is kept."""
    await settle_in(stage)
    urls = stage.system.urls()
    removed, closed = [await _admitted(url, await create_session(url)) for url in urls[:2]]
    async with stage.crowd.talking(RATE):
        await stage.pass_time(1, 2)
        stage.system.redis.copy_data()
        await stage.pass_time(0.2, 1)
        await _bar(stage, removed, f"/users/{removed.user}")
        await _bar(stage, closed, "")
        await _stored(stage, removed, closed)
        await stage.burst()
        stage.strike("lose data", "redis (older file)")
        await stage.system.redis.kill()
        stage.system.redis.go_back()
        await stage.pass_time(0.2, 1)
        await stage.system.redis.start()
        answers = [_answer(stage, url, guest) for url in urls for guest in (removed, closed)]
        stage.measured("answered", float(sum(await asyncio.gather(*answers))))
        await stage.pass_time(1, 2)
    stage.demand("answered", 2 * len(urls), UNBOUNDED)


async def _admitted(url: str, session: Json) -> Guest:
    """A guest of the session, whose connection is lost."""
    status, _, reader, writer = await request(url, f"/ws/{session['id']}", HEADERS)
    assert status == httpx.codes.SWITCHING_PROTOCOLS
    client = RawClient(reader, writer)
    welcome = (await client.join("Guest"))["data"]
    await client.end()
    return Guest(session, welcome["you"]["id"], welcome["token"])


async def _bar(stage: Stage[Stack], guest: Guest, path: str) -> None:
    """Remove the guest, or close the session when there is no path."""
    session = guest.session
    where = f"/api/sessions/{session['id']}{path}"
    answer = await call(stage.system.urls()[0], "DELETE", where, token=session["host_token"])
    answer.raise_for_status()
    stage.ledger.add(Barred(stage.ledger.now(), session["id"], guest.user if path else ""))


async def _stored(stage: Stage[Stack], removed: Guest, closed: Guest) -> None:
    """Return once Postgres knows of both."""
    connection = await asyncpg.connect(stage.system.postgres.url)
    query = """
        SELECT (SELECT is_removed FROM users WHERE session_id = $1 AND id = $2)
            AND NOT (SELECT is_active FROM sessions WHERE id = $3)
    """
    try:
        async with asyncio.timeout(_STORED_SECONDS):
            ids = removed.session["id"], removed.user, closed.session["id"]
            while not await connection.fetchval(query, *ids):  # noqa: ASYNC110 - it lies in another process
                await asyncio.sleep(_AGAIN_SECONDS)
    finally:
        await connection.close()


async def _answer(stage: Stage[Stack], url: str, guest: Guest) -> int:
    """Come back until there is an answer that is no "later"; write it down. Returns how many answers there were."""
    deadline = asyncio.get_running_loop().time() + _REFUSED_SECONDS
    while asyncio.get_running_loop().time() < deadline:
        with contextlib.suppress(OSError, EOFError, TimeoutError, ClosedByServerError):
            status, _, reader, writer = await request(url, f"/ws/{guest.session['id']}", HEADERS)
            if status == httpx.codes.SWITCHING_PROTOCOLS:
                said = await _said(RawClient(reader, writer), guest)
                if said not in _PASSING:
                    entry = Tried(stage.ledger.now(), guest.session["id"], guest.user, url, said == "welcome", said)
                    stage.ledger.add(entry)
                    return 1
            writer.close()
        await asyncio.sleep(_AGAIN_SECONDS)
    return 0


async def _said(client: RawClient, guest: Guest) -> str:
    """What the gateway says to the guest's join: `welcome`, or the code of the error."""
    try:
        await client.say({"type": "join", "name": "Guest", "token": guest.token})
        event = await client.event_of("welcome", "error")
        return "welcome" if event["type"] == "welcome" else str(event["data"]["code"])
    finally:
        await client.end()


SCENARIOS = [
    Scenario(
        "redis-rolled-back",
        "Redis comes back with an older file, from before a removal and a close",
        redis_rolled_back,
        habits=Habits(level="persisted"),
    )
]
