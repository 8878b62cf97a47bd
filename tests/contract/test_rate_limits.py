"""Limits over all gateways: two gateways with small limits, and each test with addresses and sessions of its own."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count

import httpx
import pytest

from gateway.rest.routes import OPERATIONS
from tests.gateways import Gateway, running_gateways
from tests.metrics import Scrape
from tests.raw_client import HEADERS, RawClient, connected, request
from tests.rest import call, create_session
from tests.services import Services
from tests.waiting import eventually

_addresses = (f"203.0.113.{number}" for number in count(1))


@pytest.fixture(scope="module")
def limited(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Gateway]]:
    """Two gateways whose buckets give a burst, and then hardly anything."""
    with running_gateways(
        services,
        tmp_path_factory.mktemp("limited"),
        2,
        limits="on",
        limit_messages_user="0.01+3",
        limit_messages_session="0.01+5",
        limit_joins="0.01+5",
        limit_resumes="0.01+2",
        limit_creates="0.01+3",
        limit_password_creates="0.01+1",
        limit_reads="0.01+4",
        limit_writes="0.01+6",
        max_connections_per_address=4,
    ) as gateways:
        yield gateways


@pytest.fixture
def address() -> str:
    """An address that no other test has."""
    return next(_addresses)


def headers_of(address: str) -> Mapping[str, str | None]:
    """The headers of an upgrade from this address, through the trusted proxy."""
    return {**HEADERS, "X-Forwarded-For": address}


@asynccontextmanager
async def seated(gateway: Gateway, session: str, address: str, name: str, **fields: object) -> AsyncIterator[RawClient]:
    """A client that has joined."""
    async with connected(gateway.url, session, headers_of(address)) as client:
        await client.join(name, **fields)
        yield client


async def refused_join(gateway: Gateway, session: str, address: str, **fields: object) -> int:
    """Join once more; the join must be refused, and the answer tells for how many ms."""
    async with connected(gateway.url, session, headers_of(address)) as client:
        await client.say({"type": "join", "id": 1, **fields})
        error = await client.event()
        assert (error["type"], error["id"], error["data"]["code"]) == ("error", 1, "rate_limited")
        assert error["data"]["retryable"] is True
        assert await client.closed() == (4004, "rate_limited")
        return int(error["data"]["retry_after_ms"])


async def said(client: RawClient, most: int) -> int:
    """How many messages in a row are accepted; the next one must be `rate_limited`, and the connection goes on."""
    for number in range(most + 1):
        await client.say({"type": "message", "id": number, "text": "hi"})
        answer = await client.event_of("ack", "error")
        assert answer["id"] == number
        if answer["type"] == "error":
            data = answer["data"]
            assert (data["code"], data["retryable"]) == ("rate_limited", True)
            assert 0 < data["retry_after_ms"] <= 100_000
            await client.say({"type": "ping", "id": "still here"})
            assert (await client.event_of("pong"))["id"] == "still here"
            return number
    raise AssertionError(f"more than {most} messages")


def limited_total(gateways: list[Gateway], what: str) -> float:
    """How often the gateways refused for this limit."""
    return sum(Scrape(gateway.url).of("seance_limited_total", what=what) for gateway in gateways)


async def test_the_messages_of_a_user_are_limited_over_all_gateways(
    limited: list[Gateway], gateway_url: str, address: str
) -> None:
    """Two connections of one user on two gateways share the user's messages; another user has their own."""
    session = await create_session(gateway_url, multiple_connections=True)
    before = limited_total(limited, "messages_user")
    async with seated(limited[0], session["id"], address, "Ana") as first:
        token = first.heard[0]["data"]["token"]
        async with (
            seated(limited[1], session["id"], address, "Ana", token=token) as second,
            seated(limited[1], session["id"], address, "Ben") as ben,
        ):
            await first.say({"type": "message", "id": 1, "text": "one"})
            assert (await first.event_of("ack"))["id"] == 1
            assert await said(second, 2) == 2
            assert await said(first, 0) == 0
            await ben.say({"type": "message", "id": 1, "text": "one"})
            assert (await ben.event_of("ack"))["id"] == 1
    assert limited_total(limited, "messages_user") == before + 2


async def test_a_user_who_reconnects_does_not_start_anew(
    limited: list[Gateway], gateway_url: str, address: str
) -> None:
    """The seat on another gateway brings no new burst."""
    session = await create_session(gateway_url)
    async with seated(limited[0], session["id"], address, "Ana") as client:
        token = client.heard[0]["data"]["token"]
        assert await said(client, 3) == 3
    async with seated(limited[1], session["id"], address, "Ana", token=token) as client:
        assert await said(client, 0) == 0


async def test_the_messages_of_a_session_are_limited_over_all_gateways(
    limited: list[Gateway], gateway_url: str, address: str
) -> None:
    """Users on two gateways and a server share the session's messages; a server gets 429."""
    session = await create_session(gateway_url)
    path = f"/api/sessions/{session['id']}/messages"
    async with (
        seated(limited[0], session["id"], address, "Ana") as ana,
        seated(limited[1], session["id"], address, "Ben") as ben,
    ):
        for client in (ana, ben, ana, ben):
            await client.say({"type": "message", "id": 1, "text": "hi"})
            assert (await client.event_of("ack"))["id"] == 1
        answer = await call(limited[0].url, "POST", path, token=session["host_token"], body={"text": "hi"})
        assert answer.status_code == 202
        assert await said(ana, 0) == 0
        answer = await call(limited[1].url, "POST", path, token=session["host_token"], body={"text": "hi"})
        _check_refusal(answer)
    assert limited_total(limited, "messages_session") == 2


async def test_the_joins_of_an_address_are_limited_over_all_gateways(
    limited: list[Gateway], gateway_url: str, address: str
) -> None:
    """The refused client is told when to come again by a close that means reconnect; other addresses get in."""
    session = await create_session(gateway_url, max_users=20)
    for number in range(5):
        async with seated(limited[number % 2], session["id"], address, f"Ana {number}"):
            pass
    waits = [await refused_join(gateway, session["id"], address, name="Ana") for gateway in limited]
    assert all(0 < wait <= 100_000 for wait in waits)
    async with seated(limited[0], session["id"], next(_addresses), "Ben"):
        pass
    assert limited_total(limited, "joins") == 2
    assert Scrape(limited[0].url).of("seance_joins_refused_total", reason="rate_limited") >= 1


async def test_the_resumes_of_a_user_are_limited_over_all_gateways(
    limited: list[Gateway], gateway_url: str, address: str
) -> None:
    """Whatever address the user comes from."""
    session = await create_session(gateway_url)
    async with seated(limited[0], session["id"], address, "Ana") as client:
        token = client.heard[0]["data"]["token"]
    for gateway in limited:
        async with seated(gateway, session["id"], next(_addresses), "Ana", token=token):
            pass
    assert await refused_join(limited[0], session["id"], next(_addresses), token=token) > 0
    assert limited_total(limited, "resumes") == 1


def _check_refusal(answer: httpx.Response) -> None:
    """A 429 that tells when to come again, in the header and in the envelope."""
    assert answer.status_code == 429
    error = answer.json()["error"]
    assert error["code"] == "rate_limited"
    assert 0 < error["retry_after_ms"] <= 100_000
    assert int(answer.headers["Retry-After"]) == -(-error["retry_after_ms"] // 1000)


async def requested(
    gateways: list[Gateway], method: str, path: str, most: int, *, headers: Mapping[str, str], body: object = None
) -> int:
    """How many requests, in turn at each gateway, are answered before a 429."""
    async with httpx.AsyncClient(headers=headers) as client:
        for number in range(most + 1):
            url = gateways[number % len(gateways)].url
            answer = await client.request(method, f"{url}{path}", json=body)
            if answer.status_code == 429:
                _check_refusal(answer)
                return number
    raise AssertionError(f"more than {most} requests")


async def test_rest_requests_are_limited_by_address_over_all_gateways(
    limited: list[Gateway], gateway_url: str, address: str
) -> None:
    """Reads and writes have limits of their own."""
    session = await create_session(gateway_url)
    path, headers = f"/api/sessions/{session['id']}", {"X-Forwarded-For": address}
    assert await requested(limited, "GET", f"{path}/users", 4, headers=headers) == 4
    assert await requested(limited, "POST", f"{path}/events", 6, headers=headers, body={}) == 6
    assert limited_total(limited, "reads") >= 1
    assert limited_total(limited, "writes") >= 1


async def test_rest_requests_with_a_token_are_limited_by_token(
    limited: list[Gateway], gateway_url: str, address: str
) -> None:
    """A token has limits of its own, whatever address its bearer has."""
    session = await create_session(gateway_url)
    path = f"/api/sessions/{session['id']}"
    token = {"Authorization": f"Bearer {session['host_token']}"}
    assert await requested(limited, "GET", path, 4, headers={"X-Forwarded-For": address}) == 4
    assert await requested(limited, "GET", path, 4, headers={"X-Forwarded-For": address, **token}) == 4
    assert await requested(limited, "GET", path, 0, headers={"X-Forwarded-For": next(_addresses), **token}) == 0


async def test_tokens_that_everybody_can_get_count_for_their_address(
    limited: list[Gateway], gateway_url: str, address: str
) -> None:
    """Neither another session's host token nor the token of a user gives buckets of its own."""
    session = await create_session(gateway_url)
    async with seated(limited[0], session["id"], address, "Ana") as ana:
        user = {"Authorization": f"Bearer {ana.heard[0]['data']['token']}"}
    host = {"Authorization": f"Bearer {session['host_token']}"}
    headers = {"X-Forwarded-For": address}
    path, body = f"/api/sessions/{session['id']}", {"name": "test"}
    assert await requested(limited, "GET", path, 4, headers={**headers, **user}) == 4
    assert await requested(limited, "GET", path, 0, headers=headers) == 0
    assert await requested(limited, "POST", "/api/sessions", 3, headers={**headers, **host}, body=body) == 3
    assert await requested(limited, "POST", "/api/sessions", 0, headers=headers, body=body) == 0


async def test_invented_tokens_count_for_their_address(limited: list[Gateway], gateway_url: str, address: str) -> None:
    """Nobody gets more by sending another wrong token with each request."""
    session = await create_session(gateway_url)
    url = f"{limited[0].url}/api/sessions/{session['id']}/events"
    async with httpx.AsyncClient(headers={"X-Forwarded-For": address}) as client:
        answers = [
            await client.post(url, headers={"Authorization": f"Bearer {number}"}, json={}) for number in range(7)
        ]
    assert [answer.status_code for answer in answers] == [401] * 6 + [429]


async def test_creations_are_limited_over_all_gateways(limited: list[Gateway], address: str) -> None:
    """Sessions with a password have a smaller limit beside that of all sessions."""
    headers = {"X-Forwarded-For": address}
    body = {"name": "test", "password": "correct horse"}
    assert await requested(limited, "POST", "/api/sessions", 1, headers=headers, body=body) == 1
    assert await requested(limited, "POST", "/api/sessions", 1, headers=headers, body={"name": "test"}) == 1
    assert limited_total(limited, "password_creates") == 1
    assert limited_total(limited, "creates") >= 1


async def test_health_is_not_limited(limited: list[Gateway], address: str) -> None:
    """Balancers, supervisors and monitoring ask as often as they like."""
    async with httpx.AsyncClient(headers={"X-Forwarded-For": address}) as client:
        for path in ("/live", "/ready", "/health", "/metrics"):
            answers = [await client.get(limited[0].url + path) for _ in range(10)]
            assert {answer.status_code for answer in answers} == {200}
    assert {operation.path for operation in OPERATIONS if not operation.limits} == {
        "/live",
        "/ready",
        "/health",
        "/metrics",
    }


async def upgrade(gateway: Gateway, session: str, address: str) -> tuple[int, dict[str, str]]:
    """The status and the headers of one more upgrade from this address, which is cut again."""
    status, headers, _reader, writer = await request(gateway.url, f"/ws/{session}", headers_of(address))
    writer.close()
    await writer.wait_closed()
    return status, headers


async def test_the_sockets_of_an_address_are_limited_over_all_gateways(
    limited: list[Gateway], gateway_url: str
) -> None:
    """Four sockets of a /64 on two gateways are as many as there may be; one that is closed makes room for another."""
    session = await create_session(gateway_url)
    addresses = [f"2001:db8:0:7::{number}" for number in range(6)]
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(connected(limited[number % 2].url, session["id"], headers_of(one)))
            for number, one in enumerate(addresses[:4])
        ]
        for gateway in limited:
            status, headers = await upgrade(gateway, session["id"], addresses[4])
            assert (status, headers["retry-after"]) == (429, "5")
        assert (await upgrade(limited[0], session["id"], "2001:db8:0:8::1"))[0] == 101
        await clients[1].end()

        async def is_let_in() -> bool:
            return (await upgrade(limited[0], session["id"], addresses[5]))[0] == 101

        await eventually(is_let_in, what="room for another socket")
    assert limited_total(limited, "connections_per_address") >= 2
