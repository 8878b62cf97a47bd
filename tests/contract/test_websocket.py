"""The WebSocket contract against real gateways: what members of a session see, and how connections end."""

import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import jwt
import pytest
from redis import Redis

from broker.keys import Keys
from gateway.access.claims import Claims
from gateway.access.tokens import Tokens
from tests.gateways import SECRET, Gateway
from tests.raw_client import ClosedByServerError, RawClient, connected
from tests.rest import call, create_session, users
from tests.services import Services
from tests.waiting import eventually

Json = dict[str, Any]
KEYS = Keys("seance", 16)


@asynccontextmanager
async def people(urls: list[str], session_id: str, *names: str) -> AsyncIterator[list[tuple[RawClient, Json]]]:
    """One joined client per name, in order, each on the next of the gateways, with its welcome."""
    async with AsyncExitStack() as stack:
        joined: list[tuple[RawClient, Json]] = []
        for number, name in enumerate(names):
            client = await stack.enter_async_context(connected(urls[number % len(urls)], session_id))
            welcome = await client.join(name)
            for earlier, _ in joined:
                assert (await earlier.event_of("user_joined"))["data"]["user"]["name"] == name
            joined.append((client, welcome["data"]))
        yield joined


@pytest.fixture
def urls(gateways: list[Gateway]) -> list[str]:
    return [gateway.url for gateway in gateways]


async def refused(client: RawClient, code: int, name: str) -> Json:
    """The error event and the close with this code and name must come next; returns the error's data."""
    error = await client.event_of("error")
    assert error["data"]["code"] == name
    assert error["data"]["retryable"] is (4000 <= code < 4500)
    assert await client.closed() == (code, name)
    data: Json = error["data"]
    return data


async def test_the_welcome_carries_everything(urls: list[str]) -> None:
    """The welcome carries the session, the user, the roster, seq, epoch and a token, and echoes the command's id."""
    session = await create_session(urls[0], name="Circle", max_users=3, spirit=True)
    async with connected(urls[0], session["id"]) as client:
        await client.say({"type": "join", "id": "j-1", "name": "  Ana  "})
        welcome = await client.event()
    data = welcome["data"]
    assert welcome["type"] == "welcome"
    assert welcome["id"] == "j-1"
    assert set(data) == {
        *("session", "you", "users", "user_count", "seq", "epoch", "resumed", "heartbeat_seconds"),
        *("token", "token_expires_in_seconds"),
    }
    assert data["session"] == {
        "id": session["id"],
        "name": "Circle",
        "created_at": session["created_at"],
        "max_users": 3,
        "presence": "full",
        "spirit": True,
    }
    assert data["you"]["name"] == "Ana"
    assert data["users"] == [data["you"]]
    assert (data["user_count"], data["seq"]) == (1, 1)
    assert data["resumed"] == {"recovered": False, "source": "none", "missed": 0}


async def test_everyone_sees_the_same(urls: list[str]) -> None:
    """Three people on three gateways see every event once, in the same order, with seq rising by one."""
    session = await create_session(urls[0])
    async with people(urls, session["id"], "Ana", "Ben", "Cyd") as joined:
        for number in range(10):
            for client, _ in joined:
                await client.say({"type": "message", "text": f"{number}"})
        seen = [[await client.event_of("message_received") for _ in range(30)] for client, _ in joined]
    assert seen[0] == seen[1] == seen[2]
    assert [event["seq"] for event in seen[0]] == list(range(4, 34))


async def test_a_message_reaches_its_sender_and_is_acknowledged(urls: list[str]) -> None:
    """A message reaches the sender too; the ack names its seq and id."""
    session = await create_session(urls[0])
    async with people(urls, session["id"], "Ana") as [(ana, welcome)]:
        await ana.say({"type": "message", "id": 7, "text": "  hi  "})
        answers = {event["type"]: event for event in (await ana.event(), await ana.event())}
    message, ack = answers["message_received"], answers["ack"]
    assert ack == {
        "type": "ack",
        "id": 7,
        "data": {"seq": 2, "message_id": message["data"]["id"], "level": "accepted"},
    }
    assert message["seq"] == 2
    assert message["ts"] == message["data"]["timestamp"]
    assert message["data"] == {
        "id": str(uuid.UUID(message["data"]["id"])),
        "session_id": session["id"],
        "user_id": welcome["you"]["id"],
        "user_name": "Ana",
        "text": "hi",
        "timestamp": message["ts"],
        "is_spirit": False,
    }


async def test_a_key_is_published_once(urls: list[str]) -> None:
    """A message repeated with its key gets the first one's seq, and is delivered once."""
    session = await create_session(urls[0])
    async with people(urls, session["id"], "Ana") as [(ana, _)]:
        for number in (1, 2):
            await ana.say({"type": "message", "id": number, "text": "once", "key": "k"})
        await ana.say({"type": "message", "id": 3, "text": "last"})
        events = [await ana.event() for _ in range(5)]
    acks = {event["id"]: event["data"] for event in events if event["type"] == "ack"}
    assert acks[1] == acks[2]
    assert [event["data"]["text"] for event in events if event["type"] == "message_received"] == ["once", "last"]


async def test_typing_goes_to_the_others(urls: list[str]) -> None:
    """`typing` is shown to the others, on any gateway, and not to its author."""
    session = await create_session(urls[0])
    async with people(urls, session["id"], "Ana", "Ben") as [(ana, welcome), (ben, _)]:
        await ana.say({"type": "typing"})
        typing = await ben.event()
        assert typing["type"] == "user_typing"
        assert typing["data"] == {"user": welcome["you"]}
        assert "seq" not in typing
        await ana.say({"type": "message", "text": "after"})
        assert {(await ana.event())["type"], (await ana.event())["type"]} == {"ack", "message_received"}


async def test_a_user_message_makes_the_spirit_think(urls: list[str]) -> None:
    """In a session with a spirit every user message is followed by `spirit_thinking`; the spirit's own is not."""
    session = await create_session(urls[0], spirit=True)
    async with people(urls, session["id"], "Ana", "Ben") as [(ana, _), (ben, _)]:
        await ana.say({"type": "message", "text": "are you there?"})
        assert [(await ben.event())["type"] for _ in range(2)] == ["message_received", "spirit_thinking"]
        path = f"/api/sessions/{session['id']}/messages"
        said = {"text": "I am", "is_spirit": True}
        answer = await call(urls[2], "POST", path, token=session["host_token"], body=said)
        assert answer.status_code == 202
        await ana.say({"type": "typing"})
        first, second = await ben.event(), await ben.event()
        assert first["data"]["is_spirit"] is True
        assert first["data"]["user_id"] is None
        assert second["type"] == "user_typing"


async def test_a_ping_is_answered_with_its_id(urls: list[str]) -> None:
    """`ping` is answered with `pong` and the same id."""
    session = await create_session(urls[0])
    async with people(urls, session["id"], "Ana") as [(ana, _)]:
        await ana.say({"type": "ping", "id": "p"})
        assert await ana.event() == {"type": "pong", "id": "p", "data": {}}


async def test_leave_frees_the_seat_at_once(urls: list[str]) -> None:
    """`leave` closes with 1000, frees the seat at once, and the others get `user_left`."""
    session = await create_session(urls[0])
    async with people(urls, session["id"], "Ana", "Ben") as [(ana, _), (ben, welcome)]:
        await ben.say({"type": "leave"})
        assert await ben.closed() == (1000, "left")
        left = await ana.event()
        assert left["type"] == "user_left"
        assert left["data"] == {"user": welcome["you"], "user_count": 1, "reason": "left"}
        assert await users(urls[2], session["id"]) == ["Ana"]


async def test_a_lost_socket_keeps_its_seat(urls: list[str]) -> None:
    """Without `leave` the seat stays; by token the user comes back, unseen by the others, and gets what was missed."""
    session = await create_session(urls[0], max_users=2)
    async with people(urls, session["id"], "Ana", "Ben") as [(ana, _), (ben, before)]:
        await ben.end()
        await ana.say({"type": "message", "text": "missed"})
        assert {(await ana.event())["type"], (await ana.event())["type"]} == {"ack", "message_received"}
        async with connected(urls[2], session["id"]) as again:
            resume = {"epoch": before["epoch"], "seq": before["seq"]}
            welcome = (await again.join("ignored", token=before["token"], resume=resume))["data"]
            assert welcome["you"] == before["you"]
            assert welcome["resumed"] == {"recovered": True, "source": "log", "missed": 1}
            assert welcome["seq"] == before["seq"]
            missed = await again.event()
            assert (missed["seq"], missed["data"]["text"]) == (3, "missed")
            await again.say({"type": "message", "text": "back"})
            assert (await again.event_of("message_received"))["seq"] == 4
            assert (await ana.event())["seq"] == 4


@pytest.mark.parametrize("resume", [{"epoch": "other", "seq": 1}, {"seq": 999}, {"seq": -1}])
async def test_a_position_that_cannot_be_resumed_is_told(urls: list[str], resume: Json) -> None:
    """A wrong epoch or an impossible seq is told at once, never silently a hole."""
    session = await create_session(urls[0])
    async with people(urls, session["id"], "Ana") as [(_, before)], connected(urls[1], session["id"]) as again:
        asked = {"epoch": before["epoch"], **resume}
        welcome = (await again.join("x", token=before["token"], resume=asked))["data"]
        assert welcome["resumed"] == {"recovered": False, "source": "none", "missed": 0}
        assert welcome["seq"] == before["seq"]


async def test_a_second_connection_replaces_the_first(urls: list[str]) -> None:
    """When the same user connects again, the older connection is closed with 4508 and the seat stays one."""
    session = await create_session(urls[0])
    async with (
        people(urls, session["id"], "Ana", "Ben") as [(ana, before), (ben, _)],
        connected(urls[1], session["id"]) as again,
    ):
        assert (await again.join("x", token=before["token"]))["data"]["user_count"] == 2
        await refused(ana, 4508, "replaced")
        await again.say({"type": "message", "text": "me again"})
        assert (await ben.event())["type"] == "message_received"


async def test_a_password_admits_and_a_wrong_one_does_not(urls: list[str]) -> None:
    """A password admits; a wrong or missing one is 4501; the host token and a user's own token need none."""
    session = await create_session(urls[0], password="open sesame")
    for password in (None, "wrong password"):
        async with connected(urls[0], session["id"]) as client:
            await client.say({"type": "join", "name": "Ana", "password": password})
            await refused(client, 4501, "unauthorized")
    async with connected(urls[0], session["id"]) as ana, connected(urls[1], session["id"]) as host:
        welcome = (await ana.join("Ana", password="open sesame"))["data"]
        assert (await host.join("Host", token=session["host_token"]))["data"]["user_count"] == 2
        async with connected(urls[2], session["id"]) as again:
            assert (await again.join("x", token=welcome["token"]))["data"]["you"] == welcome["you"]


@pytest.mark.parametrize("kind", ["nonsense", "other secret", "expired", "publish", "other session"])
async def test_tokens_that_do_not_admit(urls: list[str], kind: str) -> None:
    """A token that proves nothing is 4501; one that does not allow this is 4502."""
    session = await create_session(urls[0])
    tokens = Tokens(SECRET, 60)
    user = Claims.user(session["id"], str(uuid.uuid4()), "Ana")
    token, code, name = {
        "nonsense": ("x.y.z", 4501, "unauthorized"),
        "other secret": (jwt.encode({}, "x" * 32), 4501, "unauthorized"),
        "expired": (tokens.create_access_token(user, expires_seconds=-60), 4501, "unauthorized"),
        "publish": (tokens.create_access_token(Claims.publish(session["id"])), 4502, "forbidden"),
        "other session": (tokens.create_access_token(Claims.host(str(uuid.uuid4()))), 4502, "forbidden"),
    }[kind]
    async with connected(urls[0], session["id"]) as client:
        await client.say({"type": "join", "name": "Ana", "token": token})
        await refused(client, code, name)


async def test_a_full_session_and_a_taken_name_are_refused(urls: list[str]) -> None:
    """A name in use is 4506 without regard to case, and a full session 4505; those inside notice nothing."""
    session = await create_session(urls[0], max_users=2)
    async with people(urls, session["id"], "Ana", "Ben") as [(ana, _), (ben, _)]:
        async with connected(urls[2], session["id"]) as late:
            await late.say({"type": "join", "id": 1, "name": "ANA"})
            await refused(late, 4506, "name_taken")
        async with connected(urls[2], session["id"]) as late:
            await late.say({"type": "join", "name": "Cyd"})
            await refused(late, 4505, "session_full")
        await ana.say({"type": "message", "text": "only us"})
        assert (await ben.event())["type"] == "message_received"


async def test_the_host_closes_a_session_for_everyone(urls: list[str]) -> None:
    """Closing a session sends `session_closed` to everyone on every gateway and ends them with 4504, newcomers too."""
    session = await create_session(urls[0])
    async with people(urls, session["id"], "Ana", "Ben", "Cyd") as joined:
        answer = await call(urls[1], "DELETE", f"/api/sessions/{session['id']}", token=session["host_token"])
        assert answer.status_code == 200
        for client, _ in joined:
            event = await client.event_of("session_closed")
            assert (event["seq"], event["data"]) == (4, {})
            await refused(client, 4504, "session_closed")
    async with connected(urls[0], session["id"]) as late:
        await late.say({"type": "join", "name": "Late"})
        await refused(late, 4504, "session_closed")


async def test_a_removed_user_is_told_and_disconnected(urls: list[str]) -> None:
    """A removed user is closed with 4507 wherever they are, the others are told why, and the token admits no more."""
    session = await create_session(urls[0])
    async with people(urls, session["id"], "Ana", "Ben") as [(ana, _), (ben, welcome)]:
        path = f"/api/sessions/{session['id']}/users/{welcome['you']['id']}"
        assert (await call(urls[2], "DELETE", path, token=session["host_token"])).status_code == 200
        await refused(ben, 4507, "removed")
        left = await ana.event()
        assert left["data"] == {"user": welcome["you"], "user_count": 1, "reason": "removed"}
        async with connected(urls[0], session["id"]) as again:
            await again.say({"type": "join", "name": "Ben", "token": welcome["token"]})
            await refused(again, 4501, "unauthorized")


async def test_a_user_without_a_seat_says_nothing(urls: list[str], services: Services) -> None:
    """Whose seat was freed while the gateway slept is told so, nothing is published, and a resume takes a seat."""
    session = await create_session(urls[0], spirit=False)
    async with people(urls, session["id"], "Ana", "Ben") as [(ana, welcome), (ben, _)]:
        key = KEYS.session(KEYS.partition_of(session["id"]), session["id"])
        with Redis.from_url(services.redis_url) as redis:
            redis.delete(f"{key}:users", f"{key}:names")  # as a reaper does, whose event has not come yet
        await ana.say({"type": "message", "id": 1, "text": "hi"})
        error = await ana.event_of("error")
        assert (error["id"], error["data"]["code"]) == (1, "unavailable")
        assert await refused(ana, 4003, "resync")
        resume = {"epoch": welcome["epoch"], "seq": 2}
        async with connected(urls[2], session["id"]) as again:
            await again.join("Ana", token=welcome["token"], resume=resume)
            assert (await ben.event_of("user_joined", "message_received"))["type"] == "user_joined"


async def test_summary_presence_tells_only_the_number_of_users(urls: list[str]) -> None:
    """In a `summary` session only the number of users is told, unsequenced; messages are sequenced as ever."""
    session = await create_session(urls[0], max_users=200)
    assert session["presence"] == "summary"
    async with connected(urls[0], session["id"]) as ana:
        welcome = (await ana.join("Ana"))["data"]
        assert (welcome["users"], welcome["user_count"], welcome["seq"]) == ([], 1, 0)
        async with connected(urls[1], session["id"]) as ben:
            assert (await ben.join("Ben"))["data"]["user_count"] == 2
            changed = await ana.event_of("presence_changed")
            while changed["data"]["user_count"] != 2:  # her own coming may be told first
                changed = await ana.event_of("presence_changed")
            assert "seq" not in changed
            await ben.say({"type": "message", "text": "hello"})
            assert (await ana.event_of("message_received"))["seq"] == 1
            await ben.say({"type": "leave"})
            with pytest.raises(ClosedByServerError, match="closed with 1000 'left'"):
                await ben.event_of("nothing more")
        assert (await ana.event_of("presence_changed"))["data"] == {"user_count": 1}


async def test_batches_only_for_those_who_asked(urls: list[str]) -> None:
    """With the subprotocol `seance.v1.batch` the server may send arrays; others get one object per frame."""
    session = await create_session(urls[0])
    headers = {
        "Host": "localhost",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol": "other, seance.v1.batch",
    }
    async with people(urls, session["id"], "Ana") as [(ana, _)]:
        async with connected(urls[0], session["id"], headers) as batched:
            await batched.join("Ben")
            await ana.event_of("user_joined")
            for number in range(200):
                await ana.say({"type": "message", "text": f"{number}"})
            plain = [await ana.event_of("message_received") for _ in range(200)]
            got: list[Json] = []
            while len(got) < 200:
                frame: Any = await batched.event()
                got += frame if isinstance(frame, list) else [frame]
        assert got == plain


async def test_history_after_the_worker(urls: list[str]) -> None:
    """What was acknowledged becomes rows: the history over REST equals what was seen."""
    session = await create_session(urls[0])
    async with people(urls, session["id"], "Ana", "Ben") as [(ana, _), (ben, _)]:
        for number in range(20):
            await ana.say({"type": "message", "text": f"{number}"})
        seen = [await ben.event_of("message_received") for _ in range(20)]
    path = f"/api/sessions/{session['id']}/messages"

    async def is_stored() -> bool:
        return len((await call(urls[1], "GET", path)).json()["data"]["items"]) == 20

    await eventually(is_stored)
    items = (await call(urls[1], "GET", path)).json()["data"]["items"]
    assert [(item["seq"], item["id"], item["text"]) for item in items] == [
        (event["seq"], event["data"]["id"], event["data"]["text"]) for event in seen
    ]


async def test_the_gateway_forgets_who_is_gone(gateways: list[Gateway]) -> None:
    """After the last user the gateway holds no session and no socket of it."""
    url = gateways[2].url
    session = await create_session(url)

    async def held() -> tuple[int, int]:
        health = (await call(url, "GET", "/health")).json()
        return health["sessions"], health["sockets"]

    before = await held()
    async with people([url], session["id"], "Ana", "Ben"):
        assert await held() == (before[0] + 1, before[1] + 2)

    async def is_forgotten() -> bool:
        return await held() == before

    await eventually(is_forgotten)
