"""Several gateways and workers as one: seats, order and rows are exact, also when a process dies."""

import asyncio
import contextlib
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from broker.sessions.gateway_leases import LEASE_MS, REAP_SECONDS
from tests.gateways import Gateway, running_gateways, running_workers
from tests.rest import call, create_session, users
from tests.services import Services
from tests.waiting import DEADLINE_SECONDS, eventually

Json = dict[str, Any]


@pytest.fixture(scope="module")
def three(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Gateway]]:
    """Three gateways and two workers of this module's own."""
    folder = tmp_path_factory.mktemp("three")
    with running_gateways(services, folder, 3, log_level="warning") as gateways, running_workers(services, folder, 2):
        yield gateways


async def join(gateway: Gateway, session_id: str, name: str, token: str | None = None) -> tuple[ClientConnection, Json]:
    """A socket that has sent `join`, and what came first: the welcome, or the error."""
    socket = await connect(f"ws://127.0.0.1:{gateway.port}/ws/{session_id}", compression=None, max_queue=None)
    await socket.send(json.dumps({"type": "join", "name": name, "token": token}))
    return socket, json.loads(await socket.recv())


async def frames(socket: ClientConnection) -> AsyncIterator[str | bytes]:
    """Everything that comes until the connection is closed."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            yield await socket.recv()


async def race(gateways: list[Gateway], session_id: str, names: list[str]) -> tuple[list[Json], Counter[str]]:
    """All names join at once, over all gateways: the welcomes, and how often each error and close came."""
    joined = await asyncio.gather(
        *(join(gateways[number % len(gateways)], session_id, name) for number, name in enumerate(names))
    )
    welcomes: list[Json] = []
    refusals: Counter[str] = Counter()
    for socket, first in joined:
        if first["type"] == "welcome":
            welcomes.append(first["data"])
            continue
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        refusals[f"{first['data']['code']} {socket.close_code}"] += 1
    # Seats are counted while everyone who got one is still there.
    present = await users(gateways[0].url, session_id)
    assert sorted(present) == sorted(welcome["you"]["name"] for welcome in welcomes)
    await asyncio.gather(*(socket.close() for socket, _ in joined))
    return welcomes, refusals


async def test_simultaneous_joins_get_exactly_the_seats_there_are(three: list[Gateway]) -> None:
    """200 simultaneous joins over 3 gateways into a session of 50 give exactly 50 seats with 50 distinct names."""
    session = await create_session(three[0].url, max_users=50, presence="full")
    welcomes, refusals = await race(three, session["id"], [f"user {number}" for number in range(200)])
    assert refusals == {"session_full 4505": 150}
    assert len({welcome["you"]["name"] for welcome in welcomes}) == 50
    assert len({welcome["you"]["id"] for welcome in welcomes}) == 50
    assert sorted(welcome["seq"] for welcome in welcomes) == list(range(1, 51))


async def test_of_simultaneous_joins_with_one_name_exactly_one_succeeds(three: list[Gateway]) -> None:
    """20 simultaneous joins with one name over 3 gateways: exactly one gets the name."""
    session = await create_session(three[0].url, max_users=50)
    welcomes, refusals = await race(three, session["id"], ["Ana", "ana", "ANA", " Ana "] * 5)
    assert len(welcomes) == 1
    assert refusals == {"name_taken 4506": 19}


async def test_everyone_sees_the_same_order_under_load(three: list[Gateway], services: Services) -> None:
    """Nine people on three gateways talk at once: all see the same order without a hole, and the rows are the same."""
    session = await create_session(three[0].url, max_users=9)
    joined = [await join(three[number % 3], session["id"], f"user {number}") for number in range(9)]
    count = 100

    async def talk(socket: ClientConnection, name: str) -> None:
        for number in range(count):
            await socket.send(json.dumps({"type": "message", "id": number, "text": f"{name} {number}"}))

    async def listen(socket: ClientConnection) -> tuple[list[Json], dict[int, str]]:
        seen: list[Json] = []
        acks: dict[int, str] = {}
        while len(seen) < 9 * count or len(acks) < count:
            event = json.loads(await socket.recv())
            if event["type"] == "message_received":
                seen.append(event)
            elif event["type"] == "ack":
                acks[event["data"]["seq"]] = event["data"]["message_id"]
        return seen, acks

    listening = asyncio.gather(*(listen(socket) for socket, _ in joined))
    await asyncio.gather(*(talk(socket, first["data"]["you"]["name"]) for socket, first in joined))
    heard = await listening
    first = heard[0][0]
    assert all(seen == first for seen, _ in heard)
    assert [event["seq"] for event in first] == list(range(10, 10 + 9 * count))
    for speaker in range(9):
        texts = [event["data"]["text"] for event in first if event["data"]["user_name"] == f"user {speaker}"]
        assert texts == [f"user {speaker} {number}" for number in range(count)]
    acknowledged = {seq: message_id for _, acks in heard for seq, message_id in acks.items()}
    assert acknowledged == {event["seq"]: event["data"]["id"] for event in first}
    await asyncio.gather(*(socket.close() for socket, _ in joined))
    assert await stored(services, session["id"], 9 * count) == acknowledged


async def stored(services: Services, session_id: str, count: int) -> dict[int, str]:
    """Seq → message id of the session's rows, once there are `count`."""
    connection = await asyncpg.connect(services.database_url)
    try:
        query = "SELECT count(*) FROM messages WHERE session_id = $1"

        async def is_complete() -> bool:
            return bool(await connection.fetchval(query, session_id) >= count)

        await eventually(is_complete)
        rows = await connection.fetch("SELECT seq, id FROM messages WHERE session_id = $1", session_id)
    finally:
        await connection.close()
    return {row["seq"]: str(row["id"]) for row in rows}


async def test_a_killed_worker_leaves_every_row_once(services: Services, tmp_path: Path) -> None:
    """A worker killed with -9 in the middle of 20 000 messages and started again leaves 20 000 rows, none twice."""
    total, speakers = 20_000, 10
    with (
        running_gateways(services, tmp_path, 3, log_level="warning") as gateways,
        running_workers(services, tmp_path, 1) as [worker],
    ):
        session = await create_session(gateways[0].url, max_users=speakers)
        joined = [await join(gateways[number % 3], session["id"], f"user {number}") for number in range(speakers)]

        async def talk(socket: ClientConnection) -> dict[int, str]:
            acks: dict[int, str] = {}
            for start in range(0, total // speakers, 50):
                for number in range(start, start + 50):
                    await socket.send(json.dumps({"type": "message", "id": number, "text": f"{number}"}))
                while len(acks) < start + 50:
                    event = json.loads(await socket.recv())
                    if event["type"] == "ack":
                        acks[event["data"]["seq"]] = event["data"]["message_id"]
            return acks

        async def kill() -> dict[int, str]:
            await stored(services, session["id"], total // 10)
            worker.signal(signal.SIGKILL)
            worker.wait()
            worker.start()
            return {}

        acks = await asyncio.gather(*(talk(socket) for socket, _ in joined), kill())
        acknowledged = {seq: message_id for by_seq in acks for seq, message_id in by_seq.items()}
        assert len(acknowledged) == total
        rows = await stored(services, session["id"], total)
        await asyncio.gather(*(socket.close() for socket, _ in joined))
    assert rows == acknowledged


async def test_users_of_a_killed_gateway_leave_once(services: Services, tmp_path: Path) -> None:
    """After kill -9 of a gateway its users leave within 15 s, exactly once each, and their seats are free again."""
    with running_gateways(services, tmp_path, 2, log_level="warning") as [first, second]:
        session = await create_session(second.url, max_users=4)
        witness, _ = await join(second, session["id"], "Witness")
        lost = [await join(first, session["id"], f"user {number}") for number in range(3)]
        first.signal(signal.SIGKILL)
        left: list[tuple[str, str]] = []
        while len(left) < 3:
            async with asyncio.timeout(DEADLINE_SECONDS):
                event = json.loads(await witness.recv())
            if event["type"] == "user_left":
                left.append((event["data"]["user"]["name"], event["data"]["reason"]))
        assert sorted(left) == [(f"user {number}", "lost") for number in range(3)]
        assert LEASE_MS / 1000 + REAP_SECONDS < 15  # what takes the time; this machine may add to it
        again, welcome = await join(second, session["id"], "user 0")
        assert welcome["data"]["user_count"] == 2
        assert json.loads(await witness.recv())["type"] == "user_joined"
        await asyncio.gather(*(socket.close() for socket, _ in lost), witness.close(), again.close())


async def test_a_user_with_a_second_connection_survives_a_killed_gateway(services: Services, tmp_path: Path) -> None:
    """After kill -9 of a gateway a user with a connection elsewhere stays; a user without one leaves, once."""
    with running_gateways(services, tmp_path, 2, log_level="warning") as [first, second]:
        session = await create_session(second.url, max_users=3, multiple_connections=True)
        witness, _ = await join(second, session["id"], "Witness")
        stays, welcome = await join(first, session["id"], "Stays")
        beside, _ = await join(second, session["id"], "x", welcome["data"]["token"])
        goes, _ = await join(first, session["id"], "Goes")
        first.signal(signal.SIGKILL)
        seen: list[Json] = []
        while not seen or seen[-1]["type"] != "user_left":
            async with asyncio.timeout(20):
                seen.append(json.loads(await witness.recv()))
        assert [event["data"]["user"]["name"] for event in seen] == ["Stays", "Goes", "Goes"]
        assert sorted(await users(second.url, session["id"])) == ["Stays", "Witness"]
        await beside.send(json.dumps({"type": "message", "text": "still here"}))
        assert json.loads(await witness.recv())["data"]["text"] == "still here"
        await beside.send(json.dumps({"type": "leave"}))
        event = json.loads(await witness.recv())
        assert (event["type"], event["data"]["user"]["name"]) == ("user_left", "Stays")
        await asyncio.gather(*(socket.close() for socket in (witness, stays, beside, goes)))


async def test_a_gateway_paused_beyond_its_lease_sends_its_users_to_resume(services: Services, tmp_path: Path) -> None:
    """A gateway that was stopped for longer than its lease sends its users back to resume, instead of ghosts."""
    with running_gateways(services, tmp_path, 2, log_level="warning") as [first, second]:
        session = await create_session(second.url)
        witness, _ = await join(second, session["id"], "Witness")
        paused, _ = await join(first, session["id"], "Paused")
        first.signal(signal.SIGSTOP)

        async def is_reaped() -> bool:
            return await users(second.url, session["id"]) == ["Witness"]

        await eventually(is_reaped)
        first.signal(signal.SIGCONT)
        events = [json.loads(frame) async for frame in frames(paused)]
        assert paused.close_code == 4003
        assert events[-1]["data"]["code"] == "resync"
        await asyncio.gather(witness.close(), paused.close())


async def test_the_rows_of_users_tell_when_they_joined_and_left(three: list[Gateway], services: Services) -> None:
    """joined_at, left_at, and whether the host removed the user."""
    session = await create_session(three[0].url)
    ana, first = await join(three[1], session["id"], "Ana")
    ben, second = await join(three[2], session["id"], "Ben")
    await ana.send(json.dumps({"type": "leave"}))
    path = f"/api/sessions/{session['id']}/users/{second['data']['you']['id']}"
    assert (await call(three[0].url, "DELETE", path, token=session["host_token"])).status_code == 200
    connection = await asyncpg.connect(services.database_url)
    query = "SELECT name, id::text, left_at IS NOT NULL AS has_left, is_removed FROM users WHERE session_id = $1"
    expected = {
        ("Ana", first["data"]["you"]["id"], True, False),
        ("Ben", second["data"]["you"]["id"], True, True),
    }

    async def is_stored() -> bool:
        return {tuple(row) for row in await connection.fetch(query, session["id"])} == expected

    try:
        await eventually(is_stored)
    finally:
        await connection.close()
    await asyncio.gather(ana.close(), ben.close())
