"""The contract of `multiple_connections`, over WebSocket and across gateways."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from tests.gateways import Gateway
from tests.raw_client import ClosedByServerError, RawClient, connected
from tests.rest import call, create_session, users
from tests.waiting import eventually

Json = dict[str, Any]


@pytest.fixture
def urls(gateways: list[Gateway]) -> list[str]:
    return [gateway.url for gateway in gateways]


@asynccontextmanager
async def several(
    urls: list[str], count: int, **options: object
) -> AsyncIterator[tuple[Json, RawClient, list[RawClient], Json]]:
    """A session with Ben, and Ana connected so many times over all gateways; her first welcome."""
    session = await create_session(urls[0], multiple_connections=True, **options)
    async with AsyncExitStack() as stack:
        ben = await stack.enter_async_context(connected(urls[2], session["id"]))
        await ben.join("Ben")
        own = [await stack.enter_async_context(connected(urls[0], session["id"]))]
        welcome = (await own[0].join("Ana"))["data"]
        for number in range(1, count):
            client = await stack.enter_async_context(connected(urls[number % 3], session["id"]))
            again = (await client.join("ignored", token=welcome["token"]))["data"]
            assert (again["you"], again["user_count"], again["seq"]) == (welcome["you"], 2, welcome["seq"])
            own.append(client)
        assert (await ben.event())["type"] == "user_joined"
        yield session, ben, own, welcome


async def test_one_user_several_connections(urls: list[str]) -> None:
    """One seat and one `user_joined`; every connection gets every event, and may publish as the same user."""
    async with several(urls, 4, max_users=2) as (session, ben, own, welcome):
        assert sorted(await users(urls[1], session["id"])) == ["Ana", "Ben"]
        for number, client in enumerate(own):
            await client.say({"type": "message", "text": f"from {number}"})
            for reader in (ben, *own):
                event = await reader.event_of("message_received")
                assert (event["data"]["text"], event["data"]["user_id"]) == (f"from {number}", welcome["you"]["id"])
                assert event["seq"] == welcome["seq"] + 1 + number
        async with connected(urls[0], session["id"]) as cyd:
            await cyd.say({"type": "join", "name": "Cyd"})
            assert (await cyd.event())["data"]["code"] == "session_full"


async def test_typing_comes_to_other_users_only(urls: list[str]) -> None:
    """Typing comes to the others, and to no connection of the user who types."""
    async with several(urls, 3) as (_, ben, own, welcome):
        await own[1].say({"type": "typing"})
        assert (await ben.event_of("user_typing"))["data"]["user"] == welcome["you"]
        await ben.say({"type": "message", "text": "I see"})
        for client in own:
            assert (await client.event())["type"] == "message_received"


async def test_leaving_one_by_one(urls: list[str]) -> None:
    """`leave` ends only that connection; with the last one the user leaves, at once and once."""
    async with several(urls, 3) as (session, ben, own, welcome):
        for client in own[:2]:
            await client.say({"type": "leave"})
            assert await client.closed() == (1000, "left")
        await own[2].say({"type": "message", "text": "still here"})
        assert (await ben.event())["type"] == "message_received"
        await own[2].say({"type": "leave"})
        left = await ben.event()
        assert (left["type"], left["data"]["user"], left["data"]["reason"]) == ("user_left", welcome["you"], "left")
        assert left["data"]["user_count"] == 1
        assert await users(urls[0], session["id"]) == ["Ben"]


async def test_losing_all_and_coming_back(urls: list[str]) -> None:
    """When every connection is lost the seat has its grace: coming back by token then is not seen by others."""
    async with several(urls, 3) as (session, ben, own, welcome):
        for client in own:
            await client.end()
        async with connected(urls[1], session["id"]) as again:
            resume = {"epoch": welcome["epoch"], "seq": welcome["seq"]}
            back = (await again.join("x", token=welcome["token"], resume=resume))["data"]
            assert (back["resumed"]["recovered"], back["user_count"]) == (True, 2)
            await again.say({"type": "message", "text": "back"})
            assert (await ben.event())["type"] == "message_received"


async def test_a_removed_user_loses_every_connection(urls: list[str]) -> None:
    """The host removes a user from every connection."""
    async with several(urls, 3) as (session, _ben, own, welcome):
        path = f"/api/sessions/{session['id']}/users/{welcome['you']['id']}"
        assert (await call(urls[0], "DELETE", path, token=session["host_token"])).status_code == 200
        for client in own:
            assert (await client.event_of("error"))["data"]["code"] == "removed"
            assert (await client.closed())[0] == 4507


async def test_closing_a_session_closes_every_connection(urls: list[str]) -> None:
    """Closing the session closes every connection."""
    async with several(urls, 3) as (session, _ben, own, _welcome):
        path = f"/api/sessions/{session['id']}"
        assert (await call(urls[0], "DELETE", path, token=session["host_token"])).status_code == 200
        for client in own:
            assert (await client.event_of("error"))["data"]["code"] == "session_closed"
            assert (await client.closed())[0] == 4504


async def test_the_seventeenth_replaces_the_first(urls: list[str]) -> None:
    """A user has at most 16 connections; the oldest is closed with 4508 when one more comes."""
    async with several(urls, 17) as (_session, ben, own, _welcome):
        assert (await own[0].event_of("error"))["data"]["code"] == "replaced"
        assert (await own[0].closed())[0] == 4508
        await ben.say({"type": "message", "text": "hi"})
        for client in own[1:]:
            assert (await client.event_of("message_received"))["data"]["text"] == "hi"


async def test_seats_are_exact_with_several_connections(urls: list[str]) -> None:
    """Users who all connect several times at once fill exactly `max_users` seats, and free them again."""
    session = await create_session(urls[0], multiple_connections=True, max_users=5)
    async with AsyncExitStack() as stack:

        async def connect(number: int, **fields: object) -> Json:
            client = await stack.enter_async_context(connected(urls[number % 3], session["id"]))
            await client.say({"type": "join", **fields})
            event: Json = await client.event()
            return event

        first = await asyncio.gather(*(connect(number, name=f"user {number}") for number in range(20)))
        seated = [event["data"] for event in first if event["type"] == "welcome"]
        assert len(seated) == 5
        more = await asyncio.gather(
            *(connect(number, token=seat["token"]) for number, seat in enumerate(seated * 4)),
            *(connect(number, name=f"late {number}") for number in range(10)),
        )
        assert [event["type"] for event in more] == ["welcome"] * 20 + ["error"] * 10
        assert len(await users(urls[1], session["id"])) == 5

    async def holds_five() -> bool:
        return len(await users(urls[1], session["id"])) == 5

    await eventually(holds_five)  # they are lost, and within their grace
    async with connected(urls[0], session["id"]) as late:
        await late.say({"type": "join", "name": "Late"})
        with pytest.raises(ClosedByServerError) as refused:
            await late.event_of("welcome")
    assert refused.value.code == 4505
