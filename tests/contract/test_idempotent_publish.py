"""A message repeated with its key is one message: over a reconnect, over gateways, from REST, committed or not."""

import asyncio
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from gateway.access.claims import Claims
from gateway.access.tokens import Tokens
from tests.gateways import SECRET, Gateway
from tests.raw_client import RawClient, connected
from tests.rest import call, create_session
from tests.services import Services

Json = dict[str, Any]


@pytest.fixture
def urls(gateways: list[Gateway]) -> list[str]:
    return [gateway.url for gateway in gateways]


async def say(client: RawClient, key: str, *, ack: str = "accepted", text: str = "once") -> Json:
    """Send a message; the data of its ack."""
    await client.say({"type": "message", "id": key, "text": text, "key": key, "ack": ack})
    return (await client.event_of("ack"))["data"]  # type: ignore[no-any-return]


async def texts(client: RawClient, until: str) -> list[str]:
    """The texts of all messages up to this one."""
    seen: list[str] = []
    while seen[-1:] != [until]:
        seen.append((await client.event_of("message_received"))["data"]["text"])
    return seen


async def post(url: str, session: Json, *, token: str | None = None, query: str = "", **body: object) -> Any:
    """Publish over REST."""
    path = f"/api/sessions/{session['id']}/messages{query}"
    return await call(url, "POST", path, token=token or session["host_token"], body=body)


@pytest.mark.parametrize("ack", ["accepted", "persisted"])
@pytest.mark.parametrize("with_resume", [True, False])
async def test_over_a_reconnect_to_another_gateway(urls: list[str], ack: str, with_resume: bool) -> None:
    """A client that lost its socket before the ack came repeats the message elsewhere, and it stays one message."""
    session = await create_session(urls[0])
    async with connected(urls[2], session["id"]) as ben:
        await ben.join("Ben")
        async with connected(urls[0], session["id"]) as ana:
            welcome = (await ana.join("Ana"))["data"]
            await ana.say({"type": "message", "id": 1, "text": "once", "key": "k", "ack": ack})
            assert await texts(ben, "once") == ["once"]
        async with connected(urls[1], session["id"]) as again:
            resume = {"epoch": welcome["epoch"], "seq": welcome["seq"]} if with_resume else None
            assert (await again.join("x", token=welcome["token"], resume=resume))["data"]["you"] == welcome["you"]
            if with_resume:
                assert (await again.event())["seq"] == welcome["seq"] + 1
            repeated = await say(again, "k", ack=ack, text="another text")
            assert (repeated["seq"], repeated["level"]) == (welcome["seq"] + 1, ack)
            assert (await say(again, "end", text="end"))["seq"] == welcome["seq"] + 2
            assert await texts(ben, "end") == ["end"]


async def test_while_the_first_is_under_way(urls: list[str]) -> None:
    """Repeated before the first is answered, over one socket and over two of the same user, it is published once."""
    session = await create_session(urls[0], multiple_connections=True)
    async with connected(urls[0], session["id"]) as one, connected(urls[1], session["id"]) as two:
        welcome = (await one.join("Ana"))["data"]
        await two.join("x", token=welcome["token"])
        for client in (one, two):
            for number in range(10):
                level = "persisted" if number % 2 else "accepted"
                await client.say({"type": "message", "id": number, "text": "once", "key": "k", "ack": level})
        answers = [await client.event_of("ack") for client in (one, two) for _ in range(10)]
        assert len({(answer["data"]["seq"], answer["data"]["message_id"]) for answer in answers}) == 1
        assert sorted(answer["id"] for answer in answers) == sorted([*range(10)] * 2)
        assert (await say(one, "end", text="end"))["seq"] == answers[0]["data"]["seq"] + 1


async def test_levels_may_differ(urls: list[str]) -> None:
    """A message that was only accepted may be repeated to learn when it is committed, and the other way round."""
    session = await create_session(urls[0])
    async with connected(urls[0], session["id"]) as ana:
        await ana.join("Ana")
        first = await say(ana, "k")
        committed = await say(ana, "k", ack="persisted")
        again = await say(ana, "k")
    assert [answer.pop("level") for answer in (first, committed, again)] == ["accepted", "persisted", "accepted"]
    assert first == committed == again


async def test_from_rest(urls: list[str]) -> None:
    """The same `id` gives the first message again: on any gateway, at both levels, with another token, at once too."""
    session = await create_session(urls[0])
    service = Tokens(SECRET, 60).create_access_token(Claims.publish(session["id"]))
    answers = await asyncio.gather(
        *(
            post(url, session, token=token, query=query, text="hi", id="k")
            for url in urls
            for token in (None, service)
            for query in ("", "?ack=persisted")
        )
    )
    assert {answer.status_code for answer in answers} == {201, 202}
    assert len({(answer.json()["data"]["seq"], answer.json()["data"]["id"]) for answer in answers}) == 1


async def test_keys_of_users_and_of_servers_are_their_own(urls: list[str]) -> None:
    """One user's key, another's and that of a server are three, though they read the same."""
    session = await create_session(urls[0])
    async with (
        connected(urls[0], session["id"]) as ana,
        connected(urls[1], session["id"]) as ben,
        connected(urls[2], session["id"]) as witness,
    ):
        await ana.join("Ana")
        await ben.join("Ben")
        await witness.join("Witness")
        first, second = [(await say(client, "k"))["seq"] for client in (ana, ben)]
        answers = [await post(urls[2], session, text="from a server", id="k") for _ in range(2)]
        assert [answer.json()["data"]["seq"] - first for answer in answers] == [2, 2]
        assert second == first + 1
        assert await texts(witness, "from a server") == ["once", "once", "from a server"]


async def test_after_the_session_was_closed(urls: list[str]) -> None:
    """What was published before the end is told again after it; anything new is refused."""
    session = await create_session(urls[0])
    first = await post(urls[0], session, text="hi", id="k")
    path = f"/api/sessions/{session['id']}"
    assert (await call(urls[0], "DELETE", path, token=session["host_token"])).status_code == 200
    again = await post(urls[1], session, text="hi", id="k")
    assert (again.status_code, again.json()["data"]) == (202, first.json()["data"])
    assert (await post(urls[1], session, text="hi", id="other")).status_code == 409


async def test_what_postgres_refused(urls: list[str], services: Services) -> None:
    """A message that can't be stored is never acknowledged as persisted, nor is its repetition, over REST or socket."""
    session = await create_session(urls[0])
    async with connected(urls[0], session["id"]) as ana:
        await ana.join("Ana")
        connection = await asyncpg.connect(services.database_url)
        try:
            await connection.execute("DELETE FROM sessions WHERE id = $1", session["id"])
        finally:
            await connection.close()
        for number in range(3):
            await ana.say({"type": "message", "id": number, "text": "a", "key": "k", "ack": "persisted"})
            error = await ana.event_of("error", "ack")
            assert (error["type"], error["id"], error["data"]["retryable"]) == ("error", number, False)
        key = str(uuid4())
        for _ in range(3):
            assert (await post(urls[1], session, query="?ack=persisted", text="b", id=key)).status_code == 503
        assert (await say(ana, "k"))["level"] == "accepted"
