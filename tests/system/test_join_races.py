"""What happens to a session or a user while a join is under way: no connection is left without its seat."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.frames import text
from tests.gateways import Gateway, running_gateways
from tests.raw_client import HEADERS, ClosedByServerError, RawClient, connected, request
from tests.rest import call, create_session, users
from tests.services import Services

Json = dict[str, Any]
MESSAGES = 6000  # 12 pages of the log: the join takes long enough


@pytest.fixture(scope="module")
def gateway(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that keeps many events and no seat of a lost connection."""
    folder = tmp_path_factory.mktemp("races")
    with running_gateways(services, folder, log_events=100_000, resume_grace_seconds=0, log_level="warning") as [one]:
        yield one


@asynccontextmanager
async def talkative(gateway: Gateway) -> AsyncIterator[tuple[Json, RawClient, bytes]]:
    """A session with many messages, a socket of Ana's in it, and a `join` by which she resumes from the first event."""
    session = await create_session(gateway.url)
    async with connected(gateway.url, session["id"]) as ana:
        welcome = (await ana.join("Ana"))["data"]
        for _ in range(MESSAGES // 50):
            await ana.send(text('{"type": "message", "text": "hi"}') * 50)
            for _ in range(50):
                await ana.event_of("ack")
        resume = {"epoch": welcome["epoch"], "seq": welcome["seq"]}
        join = {"type": "join", "token": welcome["token"], "resume": resume}
        yield session | {"you": welcome["you"], "token": welcome["token"]}, ana, text(json.dumps(join))


async def end_of(client: RawClient) -> int | None:
    """The code with which the server closes the connection."""
    with pytest.raises(ClosedByServerError) as closed:
        await client.event_of("never")
    return closed.value.code


async def test_of_two_connections_with_one_token_the_holder_of_the_seat_stays(gateway: Gateway) -> None:
    """Of two connections that come back at once with one token, the one that holds the seat stays."""
    async with (
        talkative(gateway) as (session, ana, resume),
        connected(gateway.url, session["id"]) as first,
        connected(gateway.url, session["id"]) as second,
    ):
        await first.send(resume)
        await ana.event_of("error")  # the first one has the seat, and reads what was missed
        assert (await second.join("x", token=session["token"]))["data"]["you"] == session["you"]
        assert await end_of(first) == 4508
        await second.say({"type": "ping", "id": 1})
        await second.event_of("pong")
        assert await users(gateway.url, session["id"]) == ["Ana"]


@pytest.mark.parametrize("what", ["session", "user"])
async def test_a_close_or_removal_during_a_join_ends_the_connection(gateway: Gateway, what: str) -> None:
    """A session that is closed, or a user who is removed while their join is under way, ends the connection."""
    async with talkative(gateway) as (session, ana, resume), connected(gateway.url, session["id"]) as back:
        await back.send(resume)
        await ana.event_of("error")
        path = f"/api/sessions/{session['id']}" + ("" if what == "session" else f"/users/{session['you']['id']}")
        assert (await call(gateway.url, "DELETE", path, token=session["host_token"])).status_code == 200
        assert await end_of(back) in ({4003, 4504} if what == "session" else {4003, 4507})


async def test_simultaneous_upgrades_never_exceed_max_connections(services: Services, tmp_path: Path) -> None:
    """MAX_CONNECTIONS holds, however many come at once."""
    with running_gateways(services, tmp_path, max_connections=5) as [small]:
        session = await create_session(small.url)
        answers = await asyncio.gather(*(request(small.url, f"/ws/{session['id']}", HEADERS) for _ in range(60)))
        assert sorted(status for status, *_ in answers) == [101] * 5 + [503] * 55
        for *_, writer in answers:
            writer.close()
            await writer.wait_closed()
