"""The Python client in an application's hands: unread events, time that is over, hooks, coming back, wrong use."""

import asyncio
import ssl
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import pytest
from seance_client import (
    Client,
    Connection,
    ConnectTimeoutError,
    Disconnected,
    InvalidMessageError,
    LeftError,
    NotConnectedError,
    Policy,
    Recovered,
    SendTimeoutError,
    Target,
    UsageError,
    UserLeft,
    open_websocket,
)
from seance_client.rest import Rest, RestError, Session

from tests.clients.following import DEADLINE_SECONDS, QUICK, messages, next_of
from tests.gateways import Gateway
from tests.rest import users
from tests.waiting import eventually

SOON = 0.2


@pytest.fixture
async def session(gateway_url: str) -> AsyncIterator[Session]:
    async with Rest(gateway_url) as rest:
        yield await rest.create_session("evening", spirit=False)


class Wire:
    """A connection in which a test has its hand: it can swallow what is sent, hold back what comes, and be cut."""

    def __init__(self) -> None:
        self.targets: list[Target] = []
        self.swallows = False
        self.received = 0
        self._connection: Connection | None = None

    async def connect(self, target: Target) -> "Wire":
        """The hook."""
        self.targets.append(target)
        self._connection = await open_websocket(target)
        return self

    @property
    def connection(self) -> Connection:
        """The real one."""
        assert self._connection is not None
        return self._connection

    async def receive(self) -> bytes:
        """The next frame."""
        frame = await self.connection.receive()
        self.received += 1
        return frame

    async def send(self, frame: bytes) -> None:
        """Send a frame, or lose it."""
        if not self.swallows:
            await self.connection.send(frame)

    async def close(self) -> None:
        """Close it."""
        await self.connection.close()

    def abort(self) -> None:
        """Cut it."""
        self.connection.abort()


async def test_unread_events_stop_the_reading(gateways: list[Gateway], session: Session) -> None:
    """A client whose events are not read takes no more from the network; later all events come, in order."""
    wire = Wire()
    policy = Policy(max_events=10)
    lazy = Client(gateways[0].url, session.id, name="Lazy", policy=policy, connect=wire.connect)
    async with lazy, Client(gateways[1].url, session.id, name="Ana", wants_events=False) as ana:
        for number in range(200):
            await ana.send(f"{number}")
        with pytest.raises(SendTimeoutError) as late:
            await lazy.send("nobody reads the answer", timeout=SOON)
        assert late.value.is_uncertain
        assert wire.received <= 12
        assert await messages(lazy, 201) == [*(f"{number}" for number in range(200)), "nobody reads the answer"]
        # It hears again, and the same key is not said twice.
        reading = asyncio.create_task(messages(lazy, 1))
        await lazy.send("nobody reads the answer", key=late.value.key)
        await lazy.send("once")
        assert await reading == ["once"]


async def test_a_message_without_an_answer_in_time_is_given_up(gateway_url: str, session: Session) -> None:
    """The error says whether the message may have been stored."""
    wire = Wire()
    async with Client(gateway_url, session.id, name="Ana", policy=QUICK, connect=wire.connect) as ana:
        wire.swallows = True
        with pytest.raises(SendTimeoutError) as sent:
            await ana.send("lost", timeout=SOON)
        assert sent.value.is_uncertain
        with pytest.raises(TimeoutError):
            await ana.ping(timeout=SOON)
        ana.typing()
        wire.swallows = False
        assert (await ana.send("heard")).seq == 2
        assert await messages(ana, 1) == ["heard"]


async def test_a_message_that_was_never_sent_is_certainly_not_stored(gateway_url: str, session: Session) -> None:
    """The time is over while the message waits behind others: the error says that the message was not stored."""
    wire = Wire()
    policy = Policy(max_in_flight=1)
    async with Client(gateway_url, session.id, name="Ana", policy=policy, connect=wire.connect) as ana:
        wire.swallows = True
        first, second = await asyncio.gather(
            ana.send("first", timeout=2 * SOON), ana.send("second", timeout=SOON), return_exceptions=True
        )
        assert isinstance(first, SendTimeoutError)
        assert isinstance(second, SendTimeoutError)
        assert (first.is_uncertain, second.is_uncertain) == (True, False)
        wire.swallows = False


async def test_a_line_that_is_cut_again_and_again_loses_and_repeats_nothing(gateway_url: str, session: Session) -> None:
    """The connection is cut at any moment, many times; each message arrives once and in order."""
    wire = Wire()
    ana = Client(gateway_url, session.id, name="Ana", policy=QUICK, connect=wire.connect, wants_batches=True)
    async with ana, Client(gateway_url, session.id, name="Ben") as ben:
        sends = [asyncio.create_task(ana.send(f"{number}")) for number in range(300)]
        heard: list[str] = []
        for number in range(300):
            if number % 60 == 30:
                wire.abort()
            heard += await messages(ben, 1)
        await asyncio.gather(*sends)
        assert heard == [f"{number}" for number in range(300)]
        assert await messages(ana, 300) == heard
    assert len(wire.targets) > 1
    assert wire.targets[0].wants_batches


async def test_a_later_client_goes_on_as_the_same_user(gateways: list[Gateway], session: Session) -> None:
    """A later client with the token and the position of an earlier client goes on where the earlier client stopped."""
    async with Client(gateways[2].url, session.id, name="Ben") as ben:
        first = Client(gateways[0].url, session.id, name="Ana")
        welcome = await first.connect()
        await ben.send("one")
        assert await messages(first, 1) == ["one"]
        position = first.position
        await first.close()
        await ben.send("two")
        async with Client(gateways[1].url, session.id, token=welcome.token, resume=position) as second:
            assert second.welcome.you == welcome.you
            assert await next_of(second, Recovered) == Recovered("log", 1)
            assert await messages(second, 1) == ["two"]
        assert (await next_of(ben, UserLeft)).reason == "left"


async def test_an_address_without_a_server_is_passed_over(gateway_url: str, session: Session) -> None:
    """The client tries the next address."""
    async with Client(["http://127.0.0.1:1", gateway_url], session.id, name="Ana", policy=QUICK) as ana:
        assert (await next_of(ana, Disconnected)).will_retry
        assert ana.is_connected


async def _hangs(_: Target) -> Connection:
    await asyncio.get_running_loop().create_future()
    raise AssertionError


async def _refuses(_: Target) -> Connection:
    raise ConnectionRefusedError("nobody is there")


@pytest.mark.parametrize(
    ("connect", "reason"), [(_hangs, "no connection within 0.05 s"), (_refuses, "nobody is there")]
)
async def test_a_connection_that_never_comes_about_tells_the_last_reason(
    connect: Callable[[Target], Awaitable[Connection]], reason: str
) -> None:
    """After the time is over the error has the last reason, and nothing goes on in the background."""
    policy = Policy(backoff_base=0.01, backoff_cap=0.01, open_timeout=0.05)
    client = Client("http://gateway", "s", name="Ana", policy=policy, connect=connect)
    with pytest.raises(ConnectTimeoutError, match=reason):
        await client.connect(timeout=SOON)
    assert client.has_ended
    with pytest.raises(LeftError):
        await client.send("too late")


async def test_an_error_in_a_hook_ends_the_client_and_every_call() -> None:
    """An unexpected error ends the client, and every waiting call raises the error."""

    async def breaks(_: Target) -> Connection:
        raise ZeroDivisionError

    client = Client("http://gateway", "s", name="Ana", connect=breaks)
    with pytest.raises(ZeroDivisionError):
        await client.connect()
    with pytest.raises(ZeroDivisionError):
        await anext(client)


async def test_a_cancelled_connect_leaves_nothing_behind() -> None:
    """An application that cancels `connect` leaves no task and no connection."""
    client = Client("http://gateway", "s", name="Ana", connect=_hangs)
    connecting = asyncio.create_task(client.connect())
    await asyncio.sleep(0)
    connecting.cancel()
    await asyncio.wait({connecting})
    assert client.has_ended
    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("seance-")] == []


async def test_wrong_use_is_an_error_at_once(gateway_url: str, session: Session) -> None:
    """A call that can't work raises UsageError."""
    with pytest.raises(UsageError, match="a name or a token"):
        Client(gateway_url, session.id)
    urls: tuple[str | list[str], ...] = ("nonsense", "ftp://gateway", [])
    for url in urls:
        with pytest.raises(ValueError, match=r"is no address|at least one"):
            Client(url, session.id, name="Ana")
    client = Client(gateway_url, session.id, name="Ana")
    with pytest.raises(UsageError, match="connect first"):
        _ = client.welcome
    with pytest.raises(UsageError, match="connect first"):
        await client.send("hi")
    with pytest.raises(NotConnectedError):
        await client.ping()
    async with client:
        with pytest.raises(UsageError, match="connects once"):
            await client.connect()
        for text, key in (("\ud800", None), ("hi", ""), ("hi", "\ud800")):
            with pytest.raises(InvalidMessageError):
                await client.send(text, key=key)
    assert not await users(gateway_url, session.id)


async def test_a_hook_can_change_the_address_and_the_headers(gateway_url: str, session: Session) -> None:
    """A hook leads the connection to another address; TLS and headers are used there."""
    seen: list[Target] = []

    async def elsewhere(target: Target) -> Connection:
        seen.append(target)
        return await open_websocket(msgspec.structs.replace(target, url=there, tls=None))

    there = f"{gateway_url.replace('http', 'ws')}/ws/{session.id}"
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    async with Client(
        "https://gateway/base/", session.id, name="Ana", connect=elsewhere, headers={"X-A": "b"}, tls=tls
    ):
        pass
    assert (seen[0].url, dict(seen[0].headers)) == (f"wss://gateway/base/ws/{session.id}", {"X-A": "b"})
    assert seen[0].tls is tls


async def _says_hi(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server of something else."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
    await writer.drain()
    writer.close()


async def test_a_rest_error_names_the_fields_or_the_missing_server(gateway_url: str) -> None:
    """A refusal names the fields; an answer of another server, or none, is told as such."""
    async with Rest(gateway_url) as rest:
        with pytest.raises(RestError) as refused:
            await rest.create_session("x" * 101)
        assert (refused.value.status, refused.value.code) == (422, "validation_error")
        assert [problem.field for problem in refused.value.details] == ["name"]
        key = str(uuid.uuid4())
        first = await rest.create_session("twice", key=key)
        assert (await rest.create_session("twice", key=key)).id == first.id
        with pytest.raises(RestError, match="nothing under this path"):
            await rest.session("../../health")
    async with await asyncio.start_server(_says_hi, "127.0.0.1") as server:
        host, port = server.sockets[0].getsockname()[:2]
        async with Rest(f"http://{host}:{port}") as rest:
            with pytest.raises(RestError, match="is this the address of a gateway"):
                await rest.session("x")
    async with Rest("http://127.0.0.1:1") as rest:
        with pytest.raises(RestError) as nobody:
            await rest.session("x")
        assert (nobody.value.status, nobody.value.code) == (0, "unreachable")


class Limiting:
    """A server that refuses every second request with 429."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, and close."""
        head = await reader.readuntil(b"\r\n\r\n")
        self.requests.append(head.partition(b" HTTP")[0])
        is_refused = len(self.requests) % 2 == 1
        body = LIMITED if is_refused else CLOSED
        status = b"429 Too Many Requests\r\nRetry-After: 1" if is_refused else b"200 OK"
        length = str(len(body)).encode()
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: " + length + b"\r\nConnection: close\r\n\r\n" + body)
        await writer.drain()
        writer.close()


LIMITED = b'{"success": false, "error": {"code": "rate_limited", "message": "too many requests", "details": []}}'
CLOSED = b'{"success": true, "data": {"id": "s", "is_active": false, "seq": 7}}'


async def test_a_limited_request_is_repeated_only_when_that_is_harmless() -> None:
    """After 429 an idempotent call waits and tries again; another call, or one without patience, gets the time."""
    limiting = Limiting()
    async with await asyncio.start_server(limiting.answer, "127.0.0.1") as server:
        host, port = server.sockets[0].getsockname()[:2]
        async with Rest(f"http://{host}:{port}") as rest:
            began = asyncio.get_running_loop().time()
            assert (await rest.close_session("s")).seq == 7
            assert asyncio.get_running_loop().time() - began >= 1
            assert limiting.requests == [b"DELETE /api/sessions/s"] * 2
            with pytest.raises(RestError, match="too many requests") as refused:
                await rest.publish("s", "hi")
            assert (refused.value.status, refused.value.code, refused.value.retry_after) == (429, "rate_limited", 1)
        limiting.requests.clear()
        async with Rest(f"http://{host}:{port}", patience=0.5) as impatient:
            with pytest.raises(RestError, match="rate_limited"):
                await impatient.close_session("s")
        assert len(limiting.requests) == 1


async def test_the_seat_is_free_after_an_error_in_the_block(gateway_url: str, session: Session) -> None:
    """The client leaves the session, however the `async with` block ends."""

    async def is_empty() -> bool:
        return not await users(gateway_url, session.id)

    with pytest.raises(ZeroDivisionError):
        async with Client(gateway_url, session.id, name="Ana"):
            raise ZeroDivisionError
    async with asyncio.timeout(DEADLINE_SECONDS):
        await eventually(is_empty)
