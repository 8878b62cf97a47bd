"""Acknowledgements that mean "committed in Postgres", over WebSocket and REST."""

import asyncio
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.gateways import Gateway, running_gateways, running_workers
from tests.raw_client import connected
from tests.rest import call, create_session
from tests.services import Services, running_redis

Json = dict[str, Any]


async def row(services: Services, session_id: str, seq: int) -> str | None:
    """The id of the message with this seq, when it is committed."""
    connection = await asyncpg.connect(services.database_url)
    try:
        query = "SELECT id::text FROM messages WHERE session_id = $1 AND seq = $2"
        found: str | None = await connection.fetchval(query, session_id, seq)
    finally:
        await connection.close()
    return found


async def test_persisted_means_committed(gateways: list[Gateway], services: Services) -> None:
    """When the ack with level `persisted` comes, the row is there; only who asked hears of the watermark."""
    session = await create_session(gateways[0].url)
    async with connected(gateways[0].url, session["id"]) as ana, connected(gateways[1].url, session["id"]) as ben:
        await ana.join("Ana")
        await ben.join("Ben")
        await ana.say({"type": "message", "id": 1, "text": "keep this", "ack": "persisted"})
        ack = await ana.event_of("ack")
        assert (ack["id"], ack["data"]["level"]) == (1, "persisted")
        assert await row(services, session["id"], ack["data"]["seq"]) == ack["data"]["message_id"]
        watermark = await ana.event_of("persisted")
        assert watermark["data"]["seq"] >= ack["data"]["seq"]
        assert "seq" not in watermark
        await ben.say({"type": "ping", "id": "end"})
        kinds = [(await ben.event())["type"] for _ in range(2)]
        assert kinds == ["message_received", "pong"]


async def test_many_wait_at_once(gateways: list[Gateway], services: Services) -> None:
    """Each of many messages under way gets its own ack, in order of seq."""
    session = await create_session(gateways[0].url)
    async with connected(gateways[0].url, session["id"]) as ana:
        await ana.join("Ana")
        for number in range(300):
            await ana.say({"type": "message", "id": number, "text": f"{number}", "ack": "persisted"})
        acks = [await ana.event_of("ack") for _ in range(300)]
    assert [ack["id"] for ack in acks] == list(range(300))
    assert all(ack["data"]["level"] == "persisted" for ack in acks)
    last = acks[-1]["data"]
    assert await row(services, session["id"], last["seq"]) == last["message_id"]


async def test_a_repeated_key(gateways: list[Gateway]) -> None:
    """The repetition of a message that is long committed is acknowledged at once, with the first one's seq."""
    session = await create_session(gateways[0].url)
    async with connected(gateways[0].url, session["id"]) as ana:
        await ana.join("Ana")
        acks = []
        for number in range(2):
            await ana.say({"type": "message", "id": number, "text": "once", "key": "k", "ack": "persisted"})
            acks.append((await ana.event_of("ack"))["data"])
    assert acks[0] == acks[1]


async def test_rest(gateways: list[Gateway], services: Services) -> None:
    """`?ack=persisted` answers 201 once the row is there, for the repetition too, in a session where nobody is."""
    session = await create_session(gateways[0].url)
    path = f"/api/sessions/{session['id']}/messages?ack=persisted"
    answers = [
        await call(gateways[2].url, "POST", path, token=session["host_token"], body={"text": "hi", "id": "one"})
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [201, 201]
    first, second = (answer.json()["data"] for answer in answers)
    assert first == second
    assert await row(services, session["id"], first["seq"]) == first["id"]
    health = (await call(gateways[2].url, "GET", "/health")).json()
    assert health["sessions"] == 0


async def test_rest_for_no_session(gateways: list[Gateway]) -> None:
    """An unknown session is 404 here too."""
    session = await create_session(gateways[0].url)
    path = f"/api/sessions/{uuid.uuid4()}/messages?ack=persisted"
    answer = await call(gateways[0].url, "POST", path, token=session["host_token"], body={"text": "hi"})
    assert answer.status_code in {403, 404}


async def test_what_can_not_be_written(gateways: list[Gateway], services: Services) -> None:
    """A message that Postgres refuses for good is answered with an error, and never acknowledged."""
    session = await create_session(gateways[0].url)
    async with connected(gateways[0].url, session["id"]) as ana:
        await ana.join("Ana")
        connection = await asyncpg.connect(services.database_url)
        try:
            await connection.execute("DELETE FROM sessions WHERE id = $1", session["id"])
        finally:
            await connection.close()
        await ana.say({"type": "message", "id": 1, "text": "nowhere to go", "ack": "persisted"})
        error = await ana.event_of("error", "ack")
        assert (error["type"], error["id"]) == ("error", 1)
        assert (error["data"]["code"], error["data"]["retryable"]) == ("unavailable", False)
        path = f"/api/sessions/{session['id']}/messages?ack=persisted"
        answer = await call(gateways[1].url, "POST", path, token=session["host_token"], body={"text": "hi"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")


@pytest.fixture
def own_redis(services: Services, tmp_path: Path) -> Iterator[Services]:
    """A Redis of its own: the worker that other tests share would write what this one leaves."""
    with running_redis(tmp_path) as redis_url:
        yield Services(redis_url, services.database_url)


async def test_while_the_worker_is_stopped(own_redis: Services, tmp_path: Path) -> None:
    """Nothing is acknowledged as persisted before it is; when the worker is back, the waiting acks come."""
    with (
        running_gateways(own_redis, tmp_path, commit_timeout_seconds=1, is_measured=True) as [gateway],
        running_workers(own_redis, tmp_path, is_measured=True) as [worker],
    ):
        session = await create_session(gateway.url)
        async with connected(gateway.url, session["id"]) as ana:
            await ana.join("Ana")
            await ana.say({"type": "message", "id": 0, "text": "first", "ack": "persisted"})
            await ana.event_of("ack")
            worker.signal(signal.SIGSTOP)
            await ana.say({"type": "message", "id": 1, "text": "second", "ack": "persisted"})
            path = f"/api/sessions/{session['id']}/messages?ack=persisted"
            answer = await call(gateway.url, "POST", path, token=session["host_token"], body={"text": "hi"})
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
            await ana.say({"type": "ping", "id": "still here"})
            seen: list[Json] = []
            async with asyncio.timeout(10):
                while not seen or seen[-1]["type"] != "pong":
                    seen.append(await ana.event())
            assert not [event for event in seen if event["type"] == "ack"]
            worker.signal(signal.SIGCONT)
            assert (await ana.event_of("ack"))["id"] == 1
