"""A removed person stays out: under the same name, from the same address, and after Redis has lost the session."""

import contextlib
from typing import Any

import pytest

from tests.contract.test_rest import forget
from tests.gateways import Gateway
from tests.raw_client import connected
from tests.rest import call, create_session
from tests.services import Services

Json = dict[str, Any]


async def remove(gateway: Gateway, session: Json, welcome: Json, query: str = "") -> None:
    """Remove the user of the welcome."""
    path = f"/api/sessions/{session['id']}/users/{welcome['data']['you']['id']}{query}"
    answer = await call(gateway.url, "DELETE", path, token=session["host_token"])
    assert answer.status_code == 200, answer.text


async def refusal(gateway: Gateway, session: Json, **fields: object) -> tuple[int | None, str]:
    """The close code and the code of the error that a join gets."""
    async with connected(gateway.url, session["id"]) as client:
        await client.say({"type": "join", **fields})
        error = (await client.event_of("error"))["data"]
        assert not error["retryable"]
        return (await client.closed())[0], error["code"]


async def test_a_removed_person_does_not_come_back_under_the_same_name(
    gateways: list[Gateway], services: Services
) -> None:
    """Every gateway refuses the folded name with 4507, also when Redis lost the session; other names are let in."""
    session = await create_session(gateways[0].url)
    async with connected(gateways[0].url, session["id"]) as ana, connected(gateways[2].url, session["id"]) as ben:
        welcome = await ana.join("Ana")
        await ben.join("Ben")
        await remove(gateways[1], session, welcome)
        await ana.event_of("error")
        assert (await ana.closed())[0] == 4507
        for gateway in gateways:
            assert await refusal(gateway, session, name="ANA") == (4507, "removed")
        assert await refusal(gateways[0], session, name="x", token=welcome["data"]["token"]) == (4501, "unauthorized")
    forget(services, session["id"])
    assert await refusal(gateways[1], session, name="\N{FULLWIDTH LATIN CAPITAL LETTER A}na") == (4507, "removed")
    async with connected(gateways[1].url, session["id"]) as cyd:
        await cyd.join("Cyd")


@pytest.mark.parametrize("has_left", [True, False])
async def test_a_removal_can_ban_the_address(gateways: list[Gateway], *, has_left: bool) -> None:
    """With `ban_address=true` nobody gets a new seat from the address; the host does, and who has a seat keeps it."""
    session = await create_session(gateways[0].url, spirit=False)
    async with connected(gateways[0].url, session["id"]) as ana, connected(gateways[2].url, session["id"]) as ben:
        welcome = await ana.join("Ana")
        seated = await ben.join("Ben")
        if has_left:
            await ana.say({"type": "leave"})
            await ana.event_of("user_joined")
            assert (await ana.closed())[0] == 1000
        await remove(gateways[1], session, welcome, "?ban_address=true")
        assert await refusal(gateways[2], session, name="Cyd") == (4507, "removed")
        async with contextlib.AsyncExitStack() as stack:
            for gateway, fields in (
                (gateways[0], {"name": "Hoster", "token": session["host_token"]}),
                (gateways[1], {"name": "Ben", "token": seated["data"]["token"]}),
            ):
                client = await stack.enter_async_context(connected(gateway.url, session["id"]))
                await client.join(**fields)


async def test_the_query_of_a_removal_is_checked(gateways: list[Gateway]) -> None:
    """A removal names what is wrong with its query."""
    session = await create_session(gateways[0].url)
    path = f"/api/sessions/{session['id']}/users/{session['id']}?ban_address=yes"
    answer = await call(gateways[0].url, "DELETE", path, token=session["host_token"])
    assert answer.status_code == 422
    [detail] = answer.json()["error"]["details"]
    assert (detail["field"], "`true` or `false`" in detail["message"]) == ("ban_address", True)
