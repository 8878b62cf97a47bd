"""Wrong WebSocket input: every row of the table gets its exact answer, and nobody else notices."""

import contextlib
import uuid
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.bad_websocket_inputs import ANSWERED, BAD_FIRST, BROKEN, TAKEN, error, malformed, say
from tests.frames import client_frame, text
from tests.gateways import running_gateways
from tests.raw_client import HEADERS, KEY, RawClient, connected, request
from tests.services import Services

Json = dict[str, Any]
MAX_MALFORMED_FRAMES = 30


async def create(url: str, **fields: object) -> Json:
    """A new session without a spirit, so that nothing but what a test says is heard."""
    async with httpx.AsyncClient(base_url=url) as client:
        answer = await client.post("/api/sessions", json={"name": "table", "spirit": False, **fields})
    assert answer.status_code == 201, answer.text
    created: Json = answer.json()["data"]
    return created


@pytest.fixture
async def session_id(gateway_url: str) -> str:
    session_id: str = (await create(gateway_url))["id"]
    return session_id


@contextlib.asynccontextmanager
async def members(url: str, session_id: str, *names: str) -> AsyncIterator[list[RawClient]]:
    """Clients that have joined in this order and have heard of each other."""
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(url, session_id)) for _ in names]
        for number, (client, name) in enumerate(zip(clients, names, strict=True)):
            await client.join(name)
            for earlier in clients[:number]:
                assert (await earlier.event())["data"]["user"]["name"] == name
        yield clients


async def exchange(*clients: RawClient) -> None:
    """Each says something, and all hear it with the same seq."""
    for speaker in clients:
        said = f"still here {uuid.uuid4()}"
        await speaker.say({"type": "message", "id": said, "text": said})
        heard = []
        for client in clients:
            events = [await client.event_of("message_received", "ack") for _ in range(2 if client is speaker else 1)]
            heard.append(next(event for event in events if event["type"] == "message_received"))
            assert [event["id"] for event in events if event["type"] == "ack"] == [said] * (client is speaker)
        assert {event["data"]["text"] for event in heard} == {said}
        assert len({event["seq"] for event in heard}) == 1


def test_the_table_is_long() -> None:
    """At least 45 wrong inputs are tried."""
    assert len(ANSWERED) + len(BROKEN) + len(BAD_FIRST) >= 45


@pytest.mark.parametrize(("sent", "answer"), ANSWERED.values(), ids=ANSWERED)
async def test_answered(gateway_url: str, session_id: str, sent: bytes, answer: Json) -> None:
    """A wrong command is answered with exactly this error, and the connection goes on."""
    async with members(gateway_url, session_id, "Zoe", "Ana") as (witness, offender):
        await offender.send(sent)
        assert await offender.event() == answer
        await exchange(offender, witness)


@pytest.mark.parametrize(("sent", "answer"), TAKEN.values(), ids=TAKEN)
async def test_taken(gateway_url: str, session_id: str, sent: bytes, answer: Json | str) -> None:
    """What is only strange is carried out: an answer as written here, or the message to everyone."""
    async with members(gateway_url, session_id, "Zoe", "Ana") as (witness, sender):
        await sender.send(sent)
        if isinstance(answer, str):
            events = {event["type"]: event for event in (await sender.event(), await sender.event())}
            assert set(events) == {"ack", "message_received"}
            heard = await witness.event()
            assert heard == events["message_received"]
            assert (heard["seq"], heard["data"]["text"]) == (events["ack"]["data"]["seq"], answer)
        else:
            assert await sender.event() == answer
        await exchange(sender, witness)


@pytest.mark.parametrize(("sent", "code", "reason"), BROKEN.values(), ids=BROKEN)
async def test_broken(gateway_url: str, session_id: str, sent: bytes, code: int, reason: str) -> None:
    """A wrong frame closes its connection with exactly this code, joined or not; the others go on."""
    async with members(gateway_url, session_id, "Zoe", "Yan", "Ana") as (witness, friend, offender):
        await offender.send(sent)
        assert await offender.closed() == (code, reason)
        async with connected(gateway_url, session_id) as stranger:
            await stranger.send(sent)
            assert await stranger.closed() == (code, reason)
        await exchange(witness, friend)


@pytest.mark.parametrize(("sent", "answer"), BAD_FIRST.values(), ids=BAD_FIRST)
async def test_bad_first_frame(gateway_url: str, session_id: str, sent: bytes, answer: Json) -> None:
    """A first frame that is no valid join gets the error bad_join, then the close 4500; nobody is told of a user."""
    async with (
        members(gateway_url, session_id, "Zoe", "Yan") as (witness, friend),
        connected(gateway_url, session_id) as stranger,
    ):
        await stranger.send(sent)
        assert await stranger.event() == answer
        assert await stranger.closed() == (4500, "bad_join")
        await witness.say({"type": "ping", "id": 1})
        assert (await witness.event())["type"] == "pong"
        await exchange(witness, friend)


async def test_late_first_frame(services: Services, tmp_path: Path) -> None:
    """Without a first frame in time comes the error bad_join, then the close 4500; pings don't count."""
    with running_gateways(services, tmp_path, join_timeout_seconds=1) as (gateway,):
        session = await create(gateway.url)
        async with connected(gateway.url, session["id"]) as stranger:
            await stranger.send(client_frame(9, b"alive"))
            assert await stranger.event() == error("bad_join", "no join came within 1 seconds")
            assert await stranger.closed() == (4500, "bad_join")


async def test_join_with_a_name_twice(gateway_url: str, session_id: str) -> None:
    """Of a key that stands twice in a join the last one counts."""
    async with connected(gateway_url, session_id) as client:
        await client.send(text('{"type":"join","name":"Eve","name":" Ana "}'))
        assert (await client.event())["data"]["you"]["name"] == "Ana"


@pytest.mark.parametrize("name", ["ana", "ANA", " Ana ", "\N{CYRILLIC CAPITAL LETTER A}na"], ids=ascii)
async def test_name_taken(gateway_url: str, session_id: str, name: str) -> None:
    """A name that somebody has, in any case or alphabet, gets the error name_taken, then the close 4506."""
    async with (
        members(gateway_url, session_id, "Zoe", "Ana") as (witness, holder),
        connected(gateway_url, session_id) as late,
    ):
        await late.say({"type": "join", "id": 1, "name": name})
        told = "somebody here has this name, or one that looks like it; choose another"
        assert await late.event() == error("name_taken", told, field="name", id=1)
        assert await late.closed() == (4506, "name_taken")
        await exchange(witness, holder)


@pytest.mark.parametrize(
    "token",
    ["", "x", "a.b.c", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.", "\u0661.\u0661.\u0661", "a\0b"],
    ids=ascii,
)
async def test_bad_token(gateway_url: str, session_id: str, token: str) -> None:
    """A token that was not made here gets the error unauthorized, then the close 4501."""
    async with (
        members(gateway_url, session_id, "Zoe", "Ana") as (witness, friend),
        connected(gateway_url, session_id) as stranger,
    ):
        await stranger.say({"type": "join", "name": "Eve", "token": token})
        event = await stranger.event()
        assert (event["type"], event["data"]["code"]) == ("error", "unauthorized")
        assert await stranger.closed() == (4501, "unauthorized")
        await exchange(witness, friend)


@pytest.mark.parametrize("password", [None, "", "wrong", "opensesame\0", "OPENSESAME"], ids=ascii)
async def test_bad_password(gateway_url: str, password: str | None) -> None:
    """A session with a password admits nobody without it: the error unauthorized, then the close 4501."""
    session = await create(gateway_url, password="opensesame")
    async with connected(gateway_url, session["id"]) as stranger:
        await stranger.say({"type": "join", "name": "Eve", "password": password})
        event = await stranger.event()
        assert (event["type"], event["data"]["code"]) == ("error", "unauthorized")
        assert await stranger.closed() == (4501, "unauthorized")
    async with connected(gateway_url, session["id"]) as friend:
        await friend.join("Eve", password="opensesame")


async def test_abuse(gateway_url: str, session_id: str) -> None:
    """30 malformed frames are answered; the next one gets the error abuse, then the close 4509."""
    async with members(gateway_url, session_id, "Zoe", "Yan", "Ana") as (witness, friend, offender):
        await offender.send(text("hello") * (MAX_MALFORMED_FRAMES + 1) + say(type="message", text="unheard"))
        answers = [await offender.event() for _ in range(MAX_MALFORMED_FRAMES + 1)]
        assert answers == [malformed()] * MAX_MALFORMED_FRAMES + [error("abuse", "too many malformed frames")]
        assert await offender.closed() == (4509, "abuse")
        await witness.say({"type": "message", "text": "first"})
        assert (await friend.event_of("message_received"))["data"]["text"] == "first"


async def test_frames_after_leave(gateway_url: str, session_id: str) -> None:
    """After `leave` nothing is heard any more, even in the same packet."""
    async with members(gateway_url, session_id, "Zoe", "Ana") as (witness, leaver):
        await leaver.send(say(type="leave") + say(type="message", text="unheard") + text("hello"))
        assert await leaver.closed() == (1000, "left")
        event = await witness.event()
        assert (event["type"], event["data"]["reason"]) == ("user_left", "left")
        await witness.say({"type": "ping", "id": 1})
        assert (await witness.event())["type"] == "pong"


async def test_typing_says_nothing_to_the_typist(gateway_url: str, session_id: str) -> None:
    """`typing` with an id and extra fields is announced to the others, and the typist gets no answer."""
    async with members(gateway_url, session_id, "Zoe", "Ana") as (witness, typist):
        await typist.send(say(type="typing", id=1, to="Zoe") + say(type="ping", id=2))
        assert (await typist.event())["id"] == 2
        event = await witness.event()
        assert (event["type"], event["data"]["user"]["name"]) == ("user_typing", "Ana")


async def test_close_is_echoed(gateway_url: str, session_id: str) -> None:
    """A close frame of the client is answered with its own code, and nothing after it is heard."""
    async with members(gateway_url, session_id, "Zoe", "Ana") as (_witness, client):
        await client.send(client_frame(8, (4999).to_bytes(2)) + say(type="message", text="unheard"))
        assert (await client.closed())[0] == 4999


UPGRADES: list[tuple[str, Mapping[str, str | None], int]] = [
    ("old version", {"Sec-WebSocket-Version": "8"}, 426),
    ("no version", {"Sec-WebSocket-Version": None}, 426),
    ("no key", {"Sec-WebSocket-Key": None}, 400),
    ("short key", {"Sec-WebSocket-Key": KEY[:8]}, 400),
]


@pytest.mark.parametrize(("change", "status"), [row[1:] for row in UPGRADES], ids=[row[0] for row in UPGRADES])
async def test_bad_upgrade(gateway_url: str, session_id: str, change: Mapping[str, str | None], status: int) -> None:
    """A wrong opening handshake is refused with an HTTP status, and the members of the session go on."""
    async with members(gateway_url, session_id, "Zoe", "Ana") as (witness, friend):
        answered, _headers, _reader, writer = await request(gateway_url, f"/ws/{session_id}", {**HEADERS, **change})
        writer.close()
        assert answered == status
        await exchange(witness, friend)


@pytest.mark.parametrize("path", ["00000000-0000-4000-8000-000000000000", "nonsense", "%00", "x" * 4000])
async def test_unknown_session(gateway_url: str, path: str) -> None:
    """A session that does not exist is refused before the upgrade, with 404 and the envelope of the API."""
    status, headers, reader, writer = await request(gateway_url, f"/ws/{path}", HEADERS)
    body = (await reader.read(int(headers["content-length"]))).decode()
    writer.close()
    assert status == 404
    assert '"code":"session_not_found"' in body
