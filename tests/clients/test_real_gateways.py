"""The Python client against real gateways: two of them, one killed, Redis away and back."""

import asyncio
import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import msgspec
import pytest
import uvloop
from seance_client import (
    Client,
    Connected,
    Disconnected,
    NameTakenError,
    Recovered,
    RemovedError,
    SessionClosed,
    SessionClosedError,
    SessionNotFoundError,
    UnauthorizedError,
    UserLeft,
    UserTyping,
)
from seance_client.rest import Rest, RestError, Session

from tests.clients.following import DEADLINE_SECONDS, QUICK, messages, next_of, until_end
from tests.gateways import Gateway, running_gateways, running_workers
from tests.redis_server import redis_server
from tests.rest import call
from tests.services import Services
from tests.waiting import eventually


@pytest.fixture
async def rest(gateway_url: str) -> AsyncIterator[Rest]:
    async with Rest(gateway_url) as rest:
        yield rest


@pytest.fixture
async def session(rest: Rest) -> Session:
    return await rest.create_session("evening", spirit=False)


def client(url: str | list[str], session: Session, name: str, **options: str) -> Client:
    """A client with short waits."""
    return Client(url, session.id, name=name, policy=QUICK, password=options.get("password"))


async def test_two_clients_on_two_gateways_see_the_same_order(gateways: list[Gateway], session: Session) -> None:
    """A message reaches both clients, in order, whatever gateways they are on, and the sender is told its seq."""
    first, second, _ = gateways
    async with client(first.url, session, "Ana") as ana, client(second.url, session, "Ben") as ben:
        acks = await asyncio.gather(*(ana.send(f"{number}") for number in range(100)))
        assert [ack.seq for ack in acks] == list(range(acks[0].seq, acks[0].seq + 100))
        assert await messages(ben, 100) == await messages(ana, 100) == [f"{number}" for number in range(100)]
        ana.typing()
        assert (await next_of(ben, UserTyping)).user.name == "Ana"
        assert await ana.ping() < DEADLINE_SECONDS
        assert (await ana.send("kept", ack="persisted")).level == "persisted"
        await ana.leave()
        left = await next_of(ben, UserLeft)
        assert (left.user.name, left.reason) == ("Ana", "left")


async def test_a_message_sent_twice_with_one_key_is_delivered_once(gateway_url: str, session: Session) -> None:
    """Both calls get the same seq."""
    async with client(gateway_url, session, "Ana") as ana:
        first = await ana.send("once", key="k")
        assert await ana.send("once", key="k") == first
        await ana.send("then")
        assert await messages(ana, 2) == ["once", "then"]


async def test_every_final_refusal_has_its_own_error(gateway_url: str, rest: Rest, session: Session) -> None:
    """A refusal that a retry can't change raises the error of its kind."""
    locked = await rest.create_session("locked", password="open sesame")
    with pytest.raises(UnauthorizedError):
        await client(gateway_url, locked, "Ana").connect()
    with pytest.raises(SessionNotFoundError):
        await Client(gateway_url, "00000000-0000-4000-8000-000000000000", name="Ana").connect()
    async with client(gateway_url, locked, "Ana", password="open sesame"):
        pass
    async with client(gateway_url, session, "Ana"):
        with pytest.raises(NameTakenError):
            await client(gateway_url, session, "ANA").connect()


async def test_a_removed_user_and_all_users_of_a_closed_session_are_told(
    gateways: list[Gateway], rest: Rest, session: Session
) -> None:
    """The client of a removed user, and every client of a closed session, raises the reason and stops."""
    first, second, _ = gateways
    ana, ben = client(first.url, session, "Ana"), client(second.url, session, "Ben")
    await ana.connect()
    await ben.connect()
    user_id = ben.welcome.you.id
    assert user_id is not None
    with pytest.raises(RestError, match="unauthorized"):
        await rest.remove_user(session.id, user_id)
    await rest.remove_user(session.id, user_id, token=session.host_token)
    with pytest.raises(RemovedError):
        await until_end(ben)
    await rest.close_session(session.id, token=session.host_token)
    await next_of(ana, SessionClosed)
    with pytest.raises(SessionClosedError):
        await until_end(ana)
    with pytest.raises(SessionClosedError):
        await ana.send("too late")
    await ana.close()
    await ben.close()


async def test_history_comes_back_complete_and_in_order(rest: Rest, session: Session) -> None:
    """A service publishes and reads everything back in order, page by page."""
    for number in range(5):
        await rest.publish(session.id, f"{number}", ack="persisted", token=session.host_token, key=f"k{number}")
    stored = [message.text async for message in rest.messages(session.id)]
    assert stored == ["0", "1", "2", "3", "4"]
    page = await rest.history(session.id, limit=2)
    assert [message.text for message in page.items] == ["3", "4"]
    assert (await rest.users(session.id)).user_count == 0
    assert (await rest.session(session.id)).is_active


async def test_a_client_of_a_killed_gateway_loses_and_repeats_nothing(services: Services, tmp_path: Path) -> None:
    """The client goes on at the other gateway as the same user."""
    with running_gateways(services, tmp_path, 2, log_level="warning") as [first, second]:
        async with Rest(second.url) as rest:
            session = await rest.create_session("evening", spirit=False)
        ana = client([first.url, second.url], session, "Ana")
        async with ana, client(second.url, session, "Ben") as ben:
            user = ana.welcome.you
            await ben.send("before")
            assert await messages(ana, 1) == ["before"]
            first.signal(signal.SIGKILL)
            first.wait()
            first.start()
            sent = asyncio.gather(*(ana.send(f"a{number}") for number in range(20)))
            for number in range(20):
                await ben.send(f"b{number}")
            await sent
            assert (await next_of(ana, Disconnected)).will_retry
            assert (await next_of(ana, Connected)).welcome.you == user
            assert (await next_of(ana, Recovered)).source == "log"
            seen = await messages(ana, 40)
            assert [text for text in seen if text[0] == "b"] == [f"b{number}" for number in range(20)]
            assert [text for text in seen if text[0] == "a"] == [f"a{number}" for number in range(20)]
            assert (await messages(ben, 41))[1:] == seen


async def test_messages_sent_while_redis_is_away_arrive_once_and_in_order(services: Services, tmp_path: Path) -> None:
    """The client keeps the messages until Redis is back."""
    async with redis_server(tmp_path) as redis:
        own = Services(redis_url=redis.url, database_url=services.database_url)
        with running_gateways(own, tmp_path, 1, log_level="warning") as [gateway], running_workers(own, tmp_path):
            async with Rest(gateway.url) as rest:
                session = await rest.create_session("evening", spirit=False)
            async with client(gateway.url, session, "Ana") as ana:
                await ana.send("before")
                redis.kill()
                sent = asyncio.gather(*(ana.send(f"{number}", ack="persisted") for number in range(10)))
                await eventually(partial(is_unready, gateway))
                await redis.start()
                assert [ack.level for ack in await sent] == ["persisted"] * 10
                assert await messages(ana, 11) == ["before", *(f"{number}" for number in range(10))]


async def is_unready(gateway: Gateway) -> bool:
    """Whether it may not get traffic now."""
    return (await call(gateway.url, "GET", "/ready")).status_code == 503


def test_a_client_without_patience_works_on_uvloop(gateways: list[Gateway]) -> None:
    """On uvloop, whose handle for a time that has passed is of another kind, a client with no patience works too."""
    policy = msgspec.structs.replace(QUICK, ping_after=0.0)

    async def talk() -> None:
        async with Rest(gateways[0].url) as rest:
            evening = await rest.create_session("evening", spirit=False)
        async with Client(gateways[0].url, evening.id, name="Ana", policy=policy) as ana:
            await asyncio.gather(*(ana.send(f"{number}") for number in range(100)))
            assert await messages(ana, 100) == [f"{number}" for number in range(100)]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(talk(), DEADLINE_SECONDS))
