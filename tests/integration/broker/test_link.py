"""The link: commands and replies in order, error replies, and broken connections."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import hiredis
import pytest
from redis import Redis
from structlog.testing import capture_logs

from broker.errors import BrokerError, BrokerUnavailableError
from broker.redis.backoff import Backoff
from broker.redis.link import Link, connected
from tests.redis_server import RedisServer, cut, redial
from tests.session_state import kept
from tests.waiting import eventually


async def test_replies_of_one_tick_come_in_the_order_sent(link: Link) -> None:
    """Replies of every type come back to the command that asked, in the order sent."""
    answers = [link.call("RPUSH", "list", number) for number in range(2000)]
    answers += [link.call("LRANGE", "list", 0, 1), link.call("GET", "nothing"), link.call("SET", "key", b"\r\n\0")]
    answers += [link.call("GET", "key"), link.call("HGETALL", "nothing")]
    assert list(await asyncio.gather(*answers)) == [*range(1, 2001), [b"0", b"1"], None, b"OK", b"\r\n\0", {}]


async def test_a_reply_in_many_pieces_is_whole(link: Link) -> None:
    """A reply that comes in many pieces is whole."""
    text = b"x" * 5_000_000
    assert await link.call("SET", "key", text) == b"OK"
    large, small = link.call("GET", "key"), link.call("PING")
    assert (await large, await small) == (text, b"PONG")


async def test_an_error_reply_harms_no_other_call(link: Link) -> None:
    """An error reply raises where it belongs, with Redis' words; the commands around it go on."""
    first, wrong, last = link.call("SET", "key", "text"), link.call("INCR", "key"), link.call("GET", "key")
    assert await first == b"OK"
    with pytest.raises(BrokerError, match="not an integer") as caught:
        await wrong
    assert type(caught.value) is BrokerError
    assert await last == b"text"


async def test_a_cancelled_call_shifts_no_reply(link: Link) -> None:
    """A cancelled call takes its reply with it."""
    gone, failing, kept_one = link.call("ECHO", "gone"), link.call("NONSENSE"), link.call("ECHO", "kept")
    gone.cancel()
    failing.cancel()
    assert await kept_one == b"kept"


async def test_past_the_bound_a_call_fails_at_once(redis_url: str) -> None:
    """Past the bound a call fails at once and its command is not sent; the calls before it are answered."""
    link = Link(redis_url, max_in_flight=3)
    async with kept(link.keeper):
        answers = [link.call("INCR", "count") for _ in range(3)]
        with pytest.raises(BrokerUnavailableError, match="3 commands are waiting"):
            await link.call("INCR", "count")
        assert [await answer for answer in answers] == [1, 2, 3]
        assert await link.call("GET", "count") == b"3"


async def test_a_call_before_the_first_connection_fails_at_once(redis_url: str) -> None:
    """Before there is a connection a call fails at once, instead of waiting."""
    link = Link(redis_url)
    assert not link.is_up
    assert not link.keeper.is_up
    answer = link.call("PING")
    assert answer.done()
    with pytest.raises(BrokerUnavailableError, match="not reachable"):
        await answer


async def test_a_broken_connection_fails_unanswered_calls(link: Link, redis_url: str) -> None:
    """When Redis closes the connection every waiting call fails, and the link connects again by itself."""
    ups: list[bool] = []
    link.on_up = (lambda: ups.append(link.is_up),)
    waiting = [link.call("BLPOP", "nothing", 0), link.call("PING")]
    with Redis.from_url(redis_url) as redis:
        await eventually(lambda: any(client["cmd"] == "blpop" for client in redis.client_list()))
    assert cut(redis_url) == 1
    for answer in waiting:
        with pytest.raises(BrokerUnavailableError, match="broke before it answered"):
            await answer
    await eventually(lambda: ups)
    assert ups == [True]
    assert await link.call("PING") == b"PONG"


async def test_a_cancelled_call_is_not_failed_by_a_break(link: Link, redis_url: str) -> None:
    """A call that was cancelled before the connection broke raises nothing more."""
    link.call("BLPOP", "nothing", 0).cancel()
    await redial(redis_url, link.keeper)
    assert await link.call("PING") == b"PONG"


@pytest.mark.parametrize(("reply", "is_passing"), [("LOADING it", True), ("OOM no", True), ("LOADINGS", False)])
async def test_a_reply_that_will_pass_is_unavailable(link: Link, reply: str, is_passing: bool) -> None:
    """A reply by which Redis refuses to work for now counts as Redis being unavailable."""
    with pytest.raises(BrokerError, match=reply) as caught:
        await link.call("EVAL", f"return redis.error_reply('{reply}')", 0)
    assert isinstance(caught.value, BrokerUnavailableError) == is_passing


async def test_redis_shows_the_name_of_the_link(link: Link) -> None:
    """Redis shows the connection under the name that it was given."""
    assert await link.call("CLIENT", "GETNAME") == b"seance-link"


def quick_link(url: str) -> Link:
    """A link that waits shortly, watches often and dials often."""
    return Link(url, timeout_seconds=0.3, watch_seconds=0.05, backoff=Backoff(0.01, 0.05))


@pytest.fixture
async def own(server: RedisServer) -> AsyncIterator[Link]:
    """A link to a server of its own."""
    link = quick_link(server.url)
    async with kept(link.keeper):
        yield link


async def test_a_silent_server_is_given_up_and_found_again(server: RedisServer, own: Link) -> None:
    """A server that says nothing at all is given up after the time limit; once it goes on, the link is back."""
    server.pause()
    answer = own.call("PING")
    with pytest.raises(BrokerUnavailableError, match="broke"):
        await answer
    assert not own.is_up
    with capture_logs() as logs:
        await eventually(lambda: "redis.unreachable" in [line["event"] for line in logs])
    server.resume()
    await asyncio.wait_for(own.keeper.wait_up(), 5)
    assert await own.call("PING") == b"PONG"


async def test_an_idle_link_keeps_its_connection(own: Link) -> None:
    """An idle connection is asked for a sign of life, and kept."""
    first = await own.call("CLIENT", "ID")
    loop = asyncio.get_running_loop()
    until = loop.time() + 0.6  # longer than the time limit
    await eventually(lambda: loop.time() > until)
    assert await own.call("CLIENT", "ID") == first


async def test_a_restarted_server_is_found_again(server: RedisServer, own: Link) -> None:
    """While the server is away calls fail at once; started again at the same address it is found."""
    await own.call("SET", "key", "text")
    server.kill()
    await eventually(lambda: not own.is_up)
    with pytest.raises(BrokerUnavailableError, match="not reachable"):
        await own.call("GET", "key")
    await server.start()
    await asyncio.wait_for(own.keeper.wait_up(), 5)
    assert await own.call("GET", "key") == b"text"


async def test_a_wrong_password_is_tried_again_and_again(server: RedisServer) -> None:
    """A server that refuses the password is dialled again and again, and calls say that Redis can't be reached."""
    link = quick_link(server.url.replace("redis://:", "redis://:not-"))
    dialling = asyncio.create_task(link.keeper.run())
    with Redis.from_url(server.url) as redis:
        await eventually(lambda: redis.info("stats")["acl_access_denied_auth"] >= 3)
    assert not link.is_up
    dialling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dialling


@pytest.mark.parametrize("is_there", [True, False])
async def test_a_link_cancelled_while_dialling_ends(redis_url: str, is_there: bool) -> None:
    """A link that is cancelled at any point of dialling ends, and leaves no connection behind."""
    for ticks in range(40):
        link = Link(redis_url if is_there else "redis://127.0.0.1:1/0")
        dialling = asyncio.create_task(link.keeper.run())
        for _ in range(ticks):
            await asyncio.sleep(0)  # one loop tick
        dialling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(dialling, 3)
        assert not link.is_up
    with Redis.from_url(redis_url) as redis:
        await eventually(lambda: "seance-link" not in [client["name"] for client in redis.client_list()])


async def test_a_short_link_works_at_once(redis_url: str) -> None:
    """A short link is up from the start, and leaves no connection behind."""
    async with connected(redis_url, timeout_seconds=5, name="short") as link:
        assert await link.call("CLIENT", "GETNAME") == b"short"
    assert not link.is_up
    with Redis.from_url(redis_url) as redis:
        await eventually(lambda: "short" not in [client["name"] for client in redis.client_list()])


async def test_a_short_link_does_not_dial_again(redis_url: str) -> None:
    """Once its connection is lost, every call over a short link fails: those under way, and later ones."""
    async with connected(redis_url, timeout_seconds=5, name="short") as link:
        waiting = link.call("BLPOP", "nothing", 0)
        with Redis.from_url(redis_url) as redis:
            await eventually(lambda: any(client["cmd"] == "blpop" for client in redis.client_list()))
        assert cut(redis_url) == 1
        with pytest.raises(BrokerUnavailableError, match="broke before it answered"):
            await waiting
        with pytest.raises(BrokerUnavailableError, match="not reachable"):
            await link.call("PING")


async def test_a_short_link_gives_a_silent_server_up(server: RedisServer) -> None:
    """A call over a short link fails when the server says nothing for longer than the time limit."""
    async with connected(server.url, timeout_seconds=0.1, name="short") as link:
        server.pause()
        with pytest.raises(BrokerUnavailableError, match="broke before it answered"):
            await link.call("PING")
        server.resume()


async def test_a_short_link_needs_a_server() -> None:
    """A short link to a port where nobody listens can't be made."""
    short = connected("redis://127.0.0.1:1/0", timeout_seconds=5, name="short")
    with pytest.raises(BrokerUnavailableError, match="not reachable"):
        await short.__aenter__()


async def test_a_server_that_breaks_the_protocol_is_dialled_again() -> None:
    """A connection that stops speaking Redis' protocol is dropped, and dialled again."""
    dialled: list[str] = []
    ended: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        dialled.append("one")
        commands = hiredis.Reader()
        with contextlib.suppress(ConnectionResetError), contextlib.closing(writer):
            while data := await reader.read(4096):
                commands.feed(data)
                while (command := commands.gets()) is not False:
                    writer.write(b"what?\r\n" if command == [b"GET", b"key"] else b"+OK\r\n")
        ended.append("one")

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    link = Link(f"redis://{host}:{port}/0")
    async with kept(link.keeper):
        assert await link.call("ECHO", "text") == b"OK"
        with pytest.raises(BrokerUnavailableError, match="broke"):
            await link.call("GET", "key")
        await eventually(lambda: len(dialled) == 2)
        await link.keeper.wait_up()
    await eventually(lambda: len(ended) == 2)
    server.close()
    await server.wait_closed()
