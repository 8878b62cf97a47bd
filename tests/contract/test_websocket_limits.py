"""How a gateway protects itself and its clients: timeouts, heartbeat, buffers, admission, drain."""

import asyncio
import json
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from broker.events import User
from tests.frames import close, text
from tests.gateways import Gateway, running_gateways
from tests.raw_client import HEADERS, ClosedByServerError, RawClient, connected, request
from tests.redis_admin import redis_admin
from tests.rest import call, create_session
from tests.services import Services
from tests.waiting import eventually


@pytest.fixture(scope="module")
def strict(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with small limits."""
    with running_gateways(
        services,
        tmp_path_factory.mktemp("strict"),
        join_timeout_seconds=1,
        heartbeat_seconds=1,
        max_buffer_bytes=16_384,
        max_connections=20,
        max_connections_per_address=15,
        cors_origins="https://good.example",
    ) as [gateway]:
        yield gateway


async def error_then_close(client: RawClient, code: int, name: str) -> None:
    """The next error event has this name, and the close this code."""
    assert (await client.event_of("error"))["data"]["code"] == name
    assert await client.closed() == (code, name)


async def test_a_late_join_is_closed(strict: Gateway) -> None:
    """A client that does not join in time is closed with 4500."""
    session = await create_session(strict.url)
    async with connected(strict.url, session["id"]) as client:
        await error_then_close(client, 4500, "bad_join")


async def test_unanswered_pings_close_the_connection(strict: Gateway) -> None:
    """A client that leaves two pings unanswered is closed with 4001; the raw client here never answers one."""
    session = await create_session(strict.url)
    async with connected(strict.url, session["id"]) as client:
        await client.join("Ana")
        await error_then_close(client, 4001, "heartbeat_lost")


async def test_traffic_is_a_sign_of_life(strict: Gateway) -> None:
    """Inbound traffic counts: a client that talks needs to answer no ping."""
    session = await create_session(strict.url)
    async with connected(strict.url, session["id"]) as client:
        await client.join("Ana")
        loop = asyncio.get_running_loop()
        until = loop.time() + 5
        for number in count():
            if loop.time() > until:
                break
            await client.say({"type": "ping", "id": number})
            assert (await client.event())["id"] == number


async def test_buffers_full_of_typing_close_only_their_clients(services: Services, tmp_path: Path) -> None:
    """Clients whose buffers `typing` alone has filled are closed; the gateway goes on hearing Redis for the others."""
    with running_gateways(services, tmp_path, max_buffer_bytes=16_384, slow_consumer_seconds=1) as [gateway]:
        session = await create_session(gateway.url)
        async with AsyncExitStack() as stack:
            behind = await stack.enter_async_context(redis_admin(services, session["id"]))
            ana, *slow = [await stack.enter_async_context(connected(gateway.url, session["id"])) for _ in range(4)]
            welcome, *_ = [await client.join(str(number)) for number, client in enumerate((ana, *slow))]
            typist = User(welcome["data"]["you"]["id"], "\N{GHOST}" * 50)
            for number in count():
                await behind.announce_typing(typist, 500)
                await ana.say({"type": "ping", "id": number})
                await ana.event_of("pong")
                if (await call(gateway.url, "GET", "/health")).json()["sockets"] == 1:
                    break
        log = gateway.log.read_text()
        assert log.count("code=4000") == 3
        assert "redis.disconnected" not in log


async def test_a_client_that_closes_without_reading_is_gone(services: Services, tmp_path: Path) -> None:
    """A client that sends a close frame while it reads nothing is gone after a few seconds."""
    with running_gateways(services, tmp_path, max_buffer_bytes=16_777_216) as [gateway]:
        session = await create_session(gateway.url)
        async with connected(gateway.url, session["id"]) as deaf, connected(gateway.url, session["id"]) as ana:
            await deaf.join("Deaf")
            await ana.join("Ana")
            ghosts = {"type": "message", "text": "\N{GHOST}" * 500}
            for _ in range(60):  # 7 MB, more than the sockets themselves take
                await ana.send(text(json.dumps(ghosts, ensure_ascii=False)) * 50)
                for _ in range(50):
                    await ana.event_of("ack")
            await deaf.send(close(1000))

            async def is_gone() -> bool:
                return bool((await call(gateway.url, "GET", "/health")).json()["sockets"] == 1)

            await eventually(is_gone)


async def test_a_foreign_origin_is_refused(strict: Gateway) -> None:
    """A foreign Origin gets 403 before the upgrade; a good one, the gateway's own, and none at all are let in."""
    session = await create_session(strict.url)
    path = f"/ws/{session['id']}"
    own = f"http://127.0.0.1:{strict.port}"
    for origin, expected in (
        ("https://evil.example", 403),
        ("https://good.example", 101),
        (own, 101),
        (None, 101),
    ):
        headers = {**HEADERS, "Host": f"127.0.0.1:{strict.port}", "Origin": origin}
        status, _, _, writer = await request(strict.url, path, headers)
        writer.close()
        assert status == expected, origin


@pytest.mark.parametrize("path", ["/ws/5e6f5b0e-0c5c-4b3c-9d4f-0a1b2c3d4e5f", "/ws/no-uuid"])
async def test_an_unknown_session_is_refused_before_the_upgrade(strict: Gateway, path: str) -> None:
    """An unknown session gets 404 with the envelope before the upgrade."""
    status, headers, reader, writer = await request(strict.url, path, HEADERS)
    body = await reader.read()
    writer.close()
    assert (status, headers["content-type"]) == (404, "application/json")
    assert b'"code":"session_not_found"' in body


async def test_plain_http_on_the_websocket_path_is_refused(strict: Gateway) -> None:
    """The WebSocket path without an upgrade answers 426."""
    session = await create_session(strict.url)
    answer = await call(strict.url, "GET", f"/ws/{session['id']}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (426, "upgrade_required")


async def test_too_many_connections_from_one_address_are_refused(strict: Gateway) -> None:
    """Past the limit of connections from one address: 429 with Retry-After, until one of them ends."""
    session = await create_session(strict.url)

    async def is_idle() -> bool:
        return bool((await call(strict.url, "GET", "/health")).json()["sockets"] == 0)

    await eventually(is_idle)
    opened = [await request(strict.url, f"/ws/{session['id']}", HEADERS) for _ in range(16)]
    assert [status for status, *_ in opened] == [101] * 15 + [429]
    assert "retry-after" in opened[-1][1]
    for *_, writer in opened:
        writer.close()
    await eventually(is_idle)
    status, _, _, writer = await request(strict.url, f"/ws/{session['id']}", HEADERS)
    writer.close()
    assert status == 101


async def test_a_full_gateway_refuses_upgrades(services: Services, tmp_path: Path) -> None:
    """Past MAX_CONNECTIONS the request gets 503 with Retry-After."""
    with running_gateways(services, tmp_path, max_connections=1) as [gateway]:
        session = await create_session(gateway.url)
        async with connected(gateway.url, session["id"]):
            status, headers, _, writer = await request(gateway.url, f"/ws/{session['id']}", HEADERS)
            writer.close()
            assert status == 503
            assert "retry-after" in headers


async def test_a_drain_keeps_the_seats_for_another_gateway(services: Services, tmp_path: Path) -> None:
    """SIGTERM: clients get `reconnect` and 1012, their seats are kept, and another gateway takes them back unseen."""
    with running_gateways(services, tmp_path, 2) as [first, second]:
        session = await create_session(first.url)
        async with connected(second.url, session["id"]) as witness, connected(first.url, session["id"]) as client:
            await witness.join("Witness")
            welcome = (await client.join("Ana"))["data"]
            await witness.event_of("user_joined")
            first.signal(signal.SIGTERM)
            event = await client.event()
            assert event["type"] == "reconnect"
            assert event["data"]["after_ms"] > 0
            assert await client.closed() == (1012, "restart")
            assert first.wait() == 0
            async with connected(second.url, session["id"]) as again:
                resume = {"epoch": welcome["epoch"], "seq": welcome["seq"]}
                back = (await again.join("x", token=welcome["token"], resume=resume))["data"]
                assert back["you"] == welcome["you"]
                assert back["resumed"]["recovered"] is True
                await again.say({"type": "message", "text": "here"})
                assert (await witness.event())["type"] == "message_received"


async def test_a_user_whose_grace_is_over_leaves_once(services: Services, tmp_path: Path) -> None:
    """A lost socket that does not come back within the grace time leaves with reason `lost`, once."""
    with running_gateways(services, tmp_path, 1, resume_grace_seconds=1) as [gateway]:
        session = await create_session(gateway.url)
        async with connected(gateway.url, session["id"]) as witness, connected(gateway.url, session["id"]) as client:
            await witness.join("Witness")
            welcome = (await client.join("Ana"))["data"]
            await witness.event_of("user_joined")
            await client.end()
            left = await witness.event()
            assert left["type"] == "user_left"
            assert left["data"] == {"user": welcome["you"], "user_count": 1, "reason": "lost"}


async def test_a_gateway_without_redis_is_unready_and_refuses_upgrades(services: Services, tmp_path: Path) -> None:
    """Without Redis a gateway is live but not ready, and refuses upgrades with 503."""
    unreachable = Services(redis_url="redis://127.0.0.1:1/0", database_url=services.database_url)
    with running_gateways(unreachable, tmp_path, wait=False) as [gateway]:

        async def is_live() -> bool:
            try:
                return (await call(gateway.url, "GET", "/live")).status_code == 200
            except OSError:
                return False
            except Exception as error:
                if "connect" in str(error).lower():
                    return False
                raise

        await eventually(is_live)
        ready = await call(gateway.url, "GET", "/ready")
        assert (ready.status_code, ready.json()["reason"]) == (503, "Redis can't be reached")
        path = "/ws/5e6f5b0e-0c5c-4b3c-9d4f-0a1b2c3d4e5f"
        status, _, _, writer = await request(gateway.url, path, HEADERS)
        writer.close()
        assert status == 503


async def test_another_number_of_partitions_ends_the_gateway(services: Services, tmp_path: Path) -> None:
    """A gateway configured for another number of partitions than the data has ends with exit code 2 and says why."""
    with (
        running_gateways(services, tmp_path, wait=True),
        running_gateways(services, tmp_path, wait=False, partitions=7) as [other],
    ):
        assert other.wait() == 2
        assert "set PARTITIONS=16" in other.log.read_text()


async def test_a_taken_port_ends_the_gateway(services: Services, tmp_path: Path) -> None:
    """A gateway whose port is taken ends with exit code 1 and says which."""
    with running_gateways(services, tmp_path) as [gateway]:
        other = replace(gateway, name="other", log=tmp_path / "other.log")
        other.start()
        assert other.wait() == 1
        assert str(gateway.port) in other.log.read_text()


async def test_ctrl_c_drains_and_a_silent_client_does_not_hold_it_up(services: Services, tmp_path: Path) -> None:
    """SIGINT drains like SIGTERM; a client that does not answer the close delays the end no more than 5 s."""
    with running_gateways(services, tmp_path) as [gateway]:
        session = await create_session(gateway.url)
        async with connected(gateway.url, session["id"]) as client:
            await client.join("Ana")
            gateway.signal(signal.SIGINT)
            assert (await client.event())["type"] == "reconnect"
            gateway.signal(signal.SIGINT)
            assert gateway.wait() == 0
            with pytest.raises(ClosedByServerError):
                await client.event()
