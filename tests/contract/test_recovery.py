"""Resuming against real gateways: from the log, from Postgres below it, and on into the live events."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.gateways import Gateway, running_gateways, running_workers
from tests.raw_client import RawClient, connected
from tests.redis_admin import RedisAdmin, redis_admin, resident_bytes
from tests.rest import call, create_session
from tests.services import Services
from tests.waiting import eventually

Json = dict[str, Any]
# One of these takes 2 KB; a few thousand are more than the sockets themselves hold.
GHOSTS = "\N{GHOST}" * 500
RECEIVE_BYTES = 4096


@pytest.fixture(scope="module")
def short(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Gateway]]:
    """Two gateways whose sessions keep short logs, and a worker."""
    folder = tmp_path_factory.mktemp("short")
    with (
        running_gateways(services, folder, 2, log_events=16, max_buffer_bytes=65_536, is_measured=True) as gateways,
        running_workers(services, folder, is_measured=True),
    ):
        yield gateways


async def closed(gateway: Gateway, reason: str) -> None:
    """Return once the gateway has closed a connection for this reason."""

    async def is_closed() -> bool:
        page = (await call(gateway.url, "GET", "/metrics")).text
        return f'seance_connections_closed_total{{reason="{reason}"}} 1' in page

    await eventually(is_closed)


async def until_seq(client: RawClient, last: int) -> list[Json]:
    """The sequenced events up to this one."""
    events: list[Json] = []
    while not events or events[-1]["seq"] < last:
        event = await client.event()
        if "seq" in event:
            events.append(event)
    return events


def seqs(events: list[Json]) -> list[int]:
    """Their numbers."""
    return [event["seq"] for event in events]


async def seated(stack: AsyncExitStack, gateway: Gateway, session: Json, name: str) -> Json:
    """The welcome of a user who joined and was lost."""
    client = await stack.enter_async_context(connected(gateway.url, session["id"]))
    welcome: Json = (await client.join(name))["data"]
    await client.end()
    return welcome


def resume(welcome: Json, seq: int | None = None) -> Json:
    """How that user comes back."""
    return {
        "token": welcome["token"],
        "resume": {"epoch": welcome["epoch"], "seq": welcome["seq"] if seq is None else seq},
    }


async def test_everything_missed_comes_from_the_log(gateways: list[Gateway], services: Services) -> None:
    """While the log reaches back, every event comes from it, however many pages it takes, and then the live ones."""
    session = await create_session(gateways[0].url)
    async with AsyncExitStack() as stack, redis_admin(services, session["id"]) as behind:
        before = await seated(stack, gateways[0], session, "Ana")
        last = await behind.publish(500)
        ana = await stack.enter_async_context(connected(gateways[1].url, session["id"]))
        welcome = (await ana.join("x", **resume(before)))["data"]
        assert welcome["resumed"] == {"recovered": True, "source": "log", "missed": last - before["seq"]}
        live = await behind.publish(3)
        assert seqs(await until_seq(ana, live)) == list(range(before["seq"] + 1, live + 1))


async def test_a_client_that_missed_nothing_is_told(gateways: list[Gateway]) -> None:
    """A client that has everything is told so, and goes on."""
    session = await create_session(gateways[0].url)
    async with AsyncExitStack() as stack:
        before = await seated(stack, gateways[0], session, "Ana")
        ana = await stack.enter_async_context(connected(gateways[1].url, session["id"]))
        welcome = (await ana.join("x", **resume(before)))["data"]
        assert welcome["resumed"] == {"recovered": True, "source": "log", "missed": 0}
        await ana.say({"type": "message", "text": "back"})
        assert (await ana.event_of("message_received"))["seq"] == before["seq"] + 1


async def test_messages_below_the_log_come_from_postgres(short: list[Gateway], services: Services) -> None:
    """Below the log come the messages as everyone got them live, then every event of the log, then the live ones."""
    session = await create_session(short[0].url)
    async with AsyncExitStack() as stack, redis_admin(services, session["id"]) as behind:
        witness = await stack.enter_async_context(connected(short[0].url, session["id"]))
        await witness.join("Witness")
        before = await seated(stack, short[0], session, "Ana")
        ben = await stack.enter_async_context(connected(short[1].url, session["id"]))
        await ben.join("Ben")
        await ben.say({"type": "message", "text": 'quotes " \\ \n \N{GHOST}'})
        await ben.say({"type": "leave"})
        await behind.publish(700)
        first = await behind.trim()
        cat = await stack.enter_async_context(connected(short[1].url, session["id"]))
        last = (await cat.join("Cat"))["data"]["seq"]
        seen = [event for event in await until_seq(witness, last) if event["seq"] > before["seq"]]
        expected = [event for event in seen if event["seq"] >= first or event["type"] == "message_received"]
        assert {event["type"] for event in seen if event["seq"] < first} > {"user_joined", "user_left"}
        assert expected[-1]["type"] == "user_joined"

        ana = await stack.enter_async_context(connected(short[1].url, session["id"]))
        welcome = (await ana.join("x", **resume(before)))["data"]
        assert welcome["resumed"] == {"recovered": True, "source": "history", "missed": len(expected)}
        assert (welcome["seq"], welcome["user_count"]) == (before["seq"], 3)
        assert await until_seq(ana, last) == expected
        await behind.publish(2)
        assert seqs(await until_seq(ana, last + 2)) == [last + 1, last + 2]


@pytest.mark.parametrize("offset", [-1, 0])
async def test_the_edge_of_the_log(short: list[Gateway], services: Services, offset: int) -> None:
    """A client that lacks the log's first event gets it from the log, and the event before it from Postgres."""
    session = await create_session(short[0].url)
    async with AsyncExitStack() as stack, redis_admin(services, session["id"]) as behind:
        before = await seated(stack, short[0], session, "Ana")
        await behind.publish(300)
        first = await behind.trim()
        last = await behind.committed()
        ana = await stack.enter_async_context(connected(short[1].url, session["id"]))
        welcome = (await ana.join("x", **resume(before, first - 1 + offset)))["data"]
        source = "history" if offset else "log"
        assert welcome["resumed"] == {"recovered": True, "source": source, "missed": last - first + 1 - offset}
        assert seqs(await until_seq(ana, last)) == list(range(first + offset, last + 1))


@pytest.mark.parametrize("presence", ["full", "summary"])
async def test_live_traffic_during_a_resume_comes_once_in_order(
    short: list[Gateway], services: Services, presence: str
) -> None:
    """While messages are published all the time, also by the one who comes back, each comes once and in order.

    In a `full` session the log may be trimmed faster than it is read: then the close is 4003, and the next resume goes
    on.
    """
    session = await create_session(short[0].url, presence=presence)
    async with AsyncExitStack() as stack, redis_admin(services, session["id"]) as behind:
        before = await seated(stack, short[0], session, "Ana")
        await behind.publish(2000)
        await behind.trim()
        traffic = asyncio.create_task(behind.publish(6000))
        events: list[Json] = []
        acks: list[Json] = []
        closes = 0

        def is_all_here() -> bool:
            is_traffic_here = traffic.done() and bool(events) and events[-1]["seq"] >= traffic.result()
            return is_traffic_here and bool(acks) and any(event["data"]["text"] == "mine" for event in events)

        while not is_all_here():
            ana = await stack.enter_async_context(connected(short[1].url, session["id"]))
            asked = resume(before, events[-1]["seq"] if events else None)
            welcome = (await ana.join("x", **asked))["data"]
            assert welcome["resumed"]["recovered"] is True
            # The message may be lost with the socket, so Ana repeats it; the key makes it one message.
            await ana.say({"type": "message", "id": 1, "text": "mine", "key": "mine"})
            while not is_all_here():
                event = await ana.event()
                if event["type"] == "error":
                    assert await ana.closed() == (4003, "resync")
                    closes += 1
                    break
                (events if "seq" in event else acks).append(event)
        assert seqs(events) == list(range(before["seq"] + 1, events[-1]["seq"] + 1))
        assert [event["data"]["text"] for event in events].count("mine") == 1
        if presence == "summary":
            assert (closes, [ack["type"] for ack in acks]) == (0, ["ack"])


async def test_fifty_thousand_missed_messages_come_in_order(services: Services, tmp_path: Path) -> None:
    """50 000 missed messages come in order, however slowly they are read; the gateway needs no memory for them."""
    # The seat is kept for as long as publishing may take: a leave in the middle would be an event that is no message.
    with (
        running_gateways(services, tmp_path, log_events=16, resume_grace_seconds=600) as [gateway],
        running_workers(services, tmp_path),
    ):
        session = await create_session(gateway.url)
        async with AsyncExitStack() as stack, redis_admin(services, session["id"]) as behind:
            before = await seated(stack, gateway, session, "Ana")
            await behind.publish(50_000, "\N{GHOST}" * 250)  # 64 MB
            await behind.trim()
            last = await behind.committed()
            small = await stack.enter_async_context(connected(gateway.url, session["id"]))
            await small.join("Warm")  # what the first resume loads stays
            size = resident_bytes(gateway)
            ana = await stack.enter_async_context(connected(gateway.url, session["id"], receive_bytes=RECEIVE_BYTES))
            welcome = (await ana.join("x", **resume(before)))["data"]
            resumed = welcome["resumed"]
            assert (resumed["recovered"], resumed["source"], resumed["missed"]) == (True, "history", None)
            assert 10_000 < resumed["missed_at_least"] < last
            largest = size
            events: list[int] = []
            while not events or events[-1] < last + 1:
                events.append((await ana.event())["seq"])
                if len(events) % 5000 == 0:
                    # As if it read nothing for a while: meanwhile others are served.
                    await small.say({"type": "ping", "id": len(events)})
                    assert (await small.event_of("pong"))["id"] == len(events)
                    largest = max(largest, resident_bytes(gateway))
            assert events == list(range(before["seq"] + 1, last + 2))
            assert largest - size < 30 * 2**20
            await ana.say({"type": "message", "text": "back"})
            assert (await ana.event_of("message_received"))["seq"] == last + 2


async def held_up(stack: AsyncExitStack, gateway: Gateway, session: Json, behind: RedisAdmin) -> tuple[RawClient, Json]:
    """A client that has begun to resume and reads nothing, with more to come than sockets hold; and its old welcome."""
    before = await seated(stack, gateway, session, "Ana")
    await behind.publish(6000, GHOSTS)
    await behind.trim()
    ana = await stack.enter_async_context(connected(gateway.url, session["id"], receive_bytes=RECEIVE_BYTES))
    welcome = (await ana.join("x", **resume(before)))["data"]
    assert welcome["resumed"]["source"] == "history"
    return ana, before


async def test_a_session_closed_during_a_resume_is_delivered_to_its_end(
    short: list[Gateway], services: Services
) -> None:
    """A client that resumes while the session is closed gets everything up to `session_closed`, and then 4504."""
    session = await create_session(short[0].url)
    async with AsyncExitStack() as stack, redis_admin(services, session["id"]) as behind:
        ana, before = await held_up(stack, short[1], session, behind)
        answer = await call(short[0].url, "DELETE", f"/api/sessions/{session['id']}", token=session["host_token"])
        last = answer.json()["data"]["seq"]
        events = await until_seq(ana, last)
        assert seqs(events) == list(range(before["seq"] + 1, last + 1))
        assert events[-1]["type"] == "session_closed"
        assert (await ana.event())["data"]["code"] == "session_closed"
        assert await ana.closed() == (4504, "session_closed")


@pytest.mark.parametrize("what", ["removed", "replaced"])
async def test_a_user_who_goes_during_a_resume_ends_at_once(
    short: list[Gateway], services: Services, what: str
) -> None:
    """A client that is removed or replaced while it resumes ends at once, with what was sent before in order."""
    session = await create_session(short[0].url)
    async with AsyncExitStack() as stack, redis_admin(services, session["id"]) as behind:
        ana, before = await held_up(stack, short[1], session, behind)
        last = await behind.committed()
        if what == "removed":
            path = f"/api/sessions/{session['id']}/users/{before['you']['id']}"
            assert (await call(short[0].url, "DELETE", path, token=session["host_token"])).status_code == 200
        else:
            again = await stack.enter_async_context(connected(short[0].url, session["id"]))
            await again.join("x", token=before["token"])
        events: list[int] = []
        while (event := await ana.event())["type"] != "error":
            events.append(event["seq"])
        assert event["data"]["code"] == what
        assert await ana.closed() == (4507 if what == "removed" else 4508, what)
        assert events == list(range(before["seq"] + 1, before["seq"] + 1 + len(events)))
        assert len(events) < last - before["seq"]


async def test_a_resume_that_is_never_read_is_closed(services: Services, tmp_path: Path) -> None:
    """A client that resumes and reads nothing is closed with 4000 after SLOW_CONSUMER_SECONDS."""
    with (
        running_gateways(
            services, tmp_path, log_events=16, max_buffer_bytes=16_384, slow_consumer_seconds=1, is_measured=True
        ) as [gateway],
        running_workers(services, tmp_path, is_measured=True),
    ):
        session = await create_session(gateway.url)
        async with AsyncExitStack() as stack, redis_admin(services, session["id"]) as behind:
            ana, _ = await held_up(stack, gateway, session, behind)
            await closed(gateway, "slow_consumer")
            while (event := await ana.event())["type"] != "error":
                pass
            assert event["data"]["code"] == "slow_consumer"
            assert await ana.closed() == (4000, "slow_consumer")


async def test_a_resume_without_postgres_is_closed_for_now(
    short: list[Gateway], services: Services, tmp_path: Path
) -> None:
    """While Postgres can't be asked for what the log lacks, the close is 4002; what the log holds can be had."""
    lonely = Services(services.redis_url, "postgresql://postgres@127.0.0.1:1/nothing")
    session = await create_session(short[0].url)
    async with AsyncExitStack() as stack, redis_admin(services, session["id"]) as behind:
        before = await seated(stack, short[0], session, "Ana")
        await behind.publish(300)
        first = await behind.trim()
        last = await behind.committed()
        [gateway] = stack.enter_context(running_gateways(lonely, tmp_path))
        ana = await stack.enter_async_context(connected(gateway.url, session["id"]))
        await ana.say({"type": "join", "name": "x", **resume(before)})
        assert (await ana.event_of("error"))["data"]["retryable"] is True
        assert await ana.closed() == (4002, "unavailable")
        ana = await stack.enter_async_context(connected(gateway.url, session["id"]))
        welcome = (await ana.join("x", **resume(before, first - 1)))["data"]
        assert welcome["resumed"] == {"recovered": True, "source": "log", "missed": last - first + 1}
        ana = await stack.enter_async_context(connected(short[1].url, session["id"]))
        welcome = (await ana.join("x", **resume(before)))["data"]
        assert welcome["resumed"] == {"recovered": True, "source": "history", "missed": last - before["seq"]}
        assert welcome["you"] == before["you"]


async def test_a_resume_waits_for_events_that_are_not_committed(gateways: list[Gateway], services: Services) -> None:
    """When the log was lost with events that Postgres has not got yet, the close is 4002 until it has."""
    session = await create_session(gateways[0].url)
    async with AsyncExitStack() as stack, redis_admin(services, session["id"]) as behind:
        before = await seated(stack, gateways[0], session, "Ana")
        last = await behind.publish(5)
        await behind.committed()
        await behind.lose_log(committed=last - 1)
        ana = await stack.enter_async_context(connected(gateways[1].url, session["id"]))
        await ana.say({"type": "join", "name": "x", **resume(before)})
        assert "not stored yet" in (await ana.event_of("error"))["data"]["message"]
        assert await ana.closed() == (4002, "unavailable")
        await behind.lose_log(committed=last)
        ana = await stack.enter_async_context(connected(gateways[1].url, session["id"]))
        welcome = (await ana.join("x", **resume(before)))["data"]
        assert welcome["resumed"] == {"recovered": True, "source": "history", "missed": 5}
        assert seqs(await until_seq(ana, last)) == list(range(before["seq"] + 1, last + 1))
