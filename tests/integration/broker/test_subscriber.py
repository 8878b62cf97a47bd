"""The subscriber: what is confirmed is heard, whatever was asked for in between; nothing is lost silently."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

import pytest

from broker.errors import BrokerUnavailableError
from broker.pubsub.subscriber import Subscriber
from broker.redis.link import Link, connected
from broker.redis.reconnect import WATCH_SECONDS
from tests.redis_server import RedisServer, cut, redial
from tests.session_state import ChannelRecorder, kept, subscriber_on
from tests.waiting import eventually


async def channels(link: Link) -> set[bytes]:
    """The channels that somebody subscribes to, as Redis sees it."""
    return set(await link.call("PUBSUB", "CHANNELS"))


async def test_messages_of_subscribed_channels_are_heard_in_order(link: Link, channel: ChannelRecorder) -> None:
    """Every message of a subscribed channel is heard as it is, in order; others are not."""
    await channel.listen("one")
    await channel.listen("two")
    for number in range(1000):
        link.call("PUBLISH", f"{('one', 'two', 'three')[number % 3]}", number)
    assert await channel.latest("two") == [str(number).encode() for number in range(1, 1000, 3)]
    assert await channel.latest("one") == [str(number).encode() for number in range(0, 1000, 3)]


async def test_a_payload_may_be_any_bytes(link: Link, channel: ChannelRecorder) -> None:
    """A payload is not looked into."""
    await channel.listen("one")
    await link.call("PUBLISH", "one", bytes(range(256)))
    await link.call("PUBLISH", "one", b"")
    assert await channel.latest("one") == [bytes(range(256)), b""]


async def test_subscribing_without_a_connection_fails(redis_url: str) -> None:
    """Without a connection nothing can be subscribed to; to unsubscribe is fine."""
    subscriber = subscriber_on(Link(redis_url))
    with pytest.raises(BrokerUnavailableError):
        await subscriber.subscribe(b"one")
    subscriber.unsubscribe(b"one")


async def test_three_first_subscribers_at_once(link: Link, subscriber: Subscriber, channel: ChannelRecorder) -> None:
    """Each of them hears what is published right after its own confirmation, once."""

    async def subscribe_and_say(text: str) -> None:
        await subscriber.subscribe(b"one")
        await link.call("PUBLISH", "one", text)

    await asyncio.gather(*(subscribe_and_say(text) for text in "abc"))
    assert sorted(await channel.latest("one")) == [b"a", b"b", b"c"]
    assert await link.call("PUBSUB", "NUMSUB", "one") == [b"one", 1]


async def test_a_cancelled_subscriber_harms_no_other(subscriber: Subscriber, channel: ChannelRecorder) -> None:
    """Its going harms neither the other nor the subscription."""
    first = asyncio.create_task(subscriber.subscribe(b"one"))
    second = asyncio.create_task(subscriber.subscribe(b"one"))
    await asyncio.sleep(0)  # both wait now
    first.cancel()
    await second
    assert first.cancelled()
    assert await channel.latest("one") == []


async def test_an_unsubscribed_channel_is_heard_no_more(
    link: Link, subscriber: Subscriber, channel: ChannelRecorder
) -> None:
    """A dropped channel is heard no more, and Redis sends it no more."""
    await channel.listen("one")
    await channel.listen("two")
    subscriber.unsubscribe(b"one")
    subscriber.unsubscribe(b"one")
    await link.call("PUBLISH", "one", "unheard")
    assert await channel.latest("two") == []
    assert await channels(link) == {b"two"}


async def test_subscribing_after_unsubscribing_waits_for_a_new_confirmation(
    link: Link, subscriber: Subscriber, channel: ChannelRecorder
) -> None:
    """Who subscribes right after an unsubscription waits for a confirmation of its own."""
    await channel.listen("one")
    for number in range(50):
        subscriber.unsubscribe(b"one")
        await subscriber.subscribe(b"one")
        await link.call("PUBLISH", "one", number)
    assert await channel.latest("one") == [str(number).encode() for number in range(50)]


async def test_a_dropped_confirmation_is_not_taken_for_the_next(
    link: Link, subscriber: Subscriber, channel: ChannelRecorder, redis_url: str
) -> None:
    """The confirmation of the subscription that was dropped is not taken for the one of the next."""
    for number in range(50):
        gone = asyncio.create_task(subscriber.subscribe(b"one"))
        await asyncio.sleep(0)  # it waits now
        gone.cancel()
        subscriber.unsubscribe(b"one")
        await subscriber.subscribe(b"one")
        await link.call("PUBLISH", "one", number)
    assert await channel.latest("one") == [str(number).encode() for number in range(50)]
    assert cut(redis_url, "pubsub") == 1
    await eventually(lambda: channel.resubscriptions)
    assert channel.resubscriptions == [b"one"]


async def test_a_channel_dropped_before_its_confirmation_is_forgotten(
    link: Link, subscriber: Subscriber, channel: ChannelRecorder
) -> None:
    """Dropped before it was confirmed, a channel is forgotten altogether."""
    gone = asyncio.create_task(subscriber.subscribe(b"one"))
    await asyncio.sleep(0)  # it waits now
    gone.cancel()
    subscriber.unsubscribe(b"one")
    await channel.listen("two")
    assert await channel.latest("two") == []
    assert await channels(link) == {b"two"}
    assert list(subscriber._subscriptions) == [b"two"]


@pytest.mark.parametrize("seed", range(5))
async def test_any_order_of_subscribing_and_unsubscribing_ends_right(
    link: Link, subscriber: Subscriber, channel: ChannelRecorder, seed: int
) -> None:
    """However users come and go, Redis sends exactly what is wanted in the end."""
    choose = random.Random(seed)  # noqa: S311 - the same at every run
    wanted: set[str] = set()
    waiting: list[asyncio.Task[None]] = []
    for _ in range(300):
        name = choose.choice("abcde")
        if name in wanted and choose.random() < 0.6:
            await asyncio.gather(*waiting)
            subscriber.unsubscribe(name.encode())
            wanted.discard(name)
        else:
            waiting.append(asyncio.create_task(subscriber.subscribe(name.encode())))
            wanted.add(name)
    await asyncio.gather(*waiting)
    for name in wanted:
        await link.call("PUBLISH", name, "text")
        assert await channel.latest(name) == [b"text"]
    assert await channels(link) == {name.encode() for name in wanted}
    assert {channel.decode() for channel in subscriber._subscriptions} == wanted


async def test_channels_are_heard_again_after_the_connection_broke(
    link: Link, subscriber: Subscriber, channel: ChannelRecorder, redis_url: str
) -> None:
    """Every channel is asked for again and its listener told once, however many there are; dropped ones are not."""
    names = [f"channel-{number}" for number in range(1001)]
    await asyncio.gather(*(channel.listen(name) for name in names))
    subscriber.unsubscribe(b"channel-0")
    assert cut(redis_url, "pubsub") == 1
    await eventually(lambda: len(channel.resubscriptions) >= len(names) - 1)
    await link.call("PUBLISH", names[-1], "text")
    assert await channel.latest(names[-1]) == [b"text"]
    assert sorted(channel.resubscriptions) == sorted(name.encode() for name in names[1:])
    assert await channels(link) == {name.encode() for name in names[1:]}


async def test_resubscribing_many_channels_leaves_room_for_other_commands(redis_url: str) -> None:
    """Channels are asked for in batches: what their listeners ask for then, and others, stay below the link's bound."""
    link = Link(redis_url, max_in_flight=100)
    subscriber = Subscriber(link, batch_channels=10)
    link.on_up = (subscriber.resubscribe,)
    answers: dict[bytes, list[asyncio.Future[bytes]]] = {}

    def ask(channel: bytes) -> None:
        answers[channel] = [link.call("ECHO", channel) for _ in range(4)]

    subscriber.on_resubscribed = ask
    async with kept(link.keeper):
        names = [f"channel-{number}".encode() for number in range(500)]
        for name in names:
            await subscriber.subscribe(name)
        await redial(redis_url, link.keeper, "pubsub")
        while len(answers) < len(names):
            assert await link.call("ECHO", "another") == b"another"
        assert [await asyncio.gather(*asked) for asked in answers.values()] == [[name] * 4 for name in answers]
        assert await channels(link) == set(names) == set(answers)


async def test_a_channel_that_is_not_asked_for_yet_can_be_waited_for(redis_url: str) -> None:
    """Who subscribes to a channel whose turn has not come after a break hears what is published from then on."""
    link = Link(redis_url)
    subscriber = Subscriber(link, batch_channels=1)
    link.on_up = (subscriber.resubscribe,)
    heard: list[tuple[bytes, bytes]] = []
    link.on_message = lambda channel, payload: heard.append((channel, payload))
    resubscribed: list[bytes] = []
    waiting: list[asyncio.Task[None]] = []
    names = [f"channel-{number}".encode() for number in range(100)]

    def note(channel: bytes) -> None:
        resubscribed.append(channel)
        if not waiting:  # the turn of nearly all is still to come
            subscriber.unsubscribe(names[-2])
            waiting.append(asyncio.create_task(subscriber.subscribe(names[-1])))

    subscriber.on_resubscribed = note
    async with kept(link.keeper), connected(redis_url, timeout_seconds=5, name="publisher") as publisher:
        for name in names:
            await subscriber.subscribe(name)
        await redial(redis_url, link.keeper, "pubsub")
        await eventually(lambda: waiting)
        await waiting[0]
        await publisher.call("PUBLISH", names[-1], "text")
        await eventually(lambda: len(resubscribed) == len(names) - 1)
        assert resubscribed.index(names[-1]) < len(names) / 2
        await eventually(lambda: heard)
        assert heard == [(names[-1], b"text")]
        assert await channels(link) == {*names} - {names[-2]}


async def test_the_listener_is_told_after_each_break(
    subscriber: Subscriber, channel: ChannelRecorder, redis_url: str
) -> None:
    """The listener is told after each break."""
    await channel.listen("one")
    for count in (1, 2):
        cut(redis_url, "pubsub")
        await eventually(lambda count=count: len(channel.resubscriptions) == count)  # type: ignore[misc]
    assert subscriber._link.is_up


@pytest.fixture
async def own(server: RedisServer) -> AsyncIterator[Subscriber]:
    """A subscriber to a server of its own, that waits shortly."""
    async with _link(server, watch_seconds=0.05) as listening:
        yield subscriber_on(listening)


async def test_a_break_before_the_confirmation_is_told(server: RedisServer, own: Subscriber) -> None:
    """Every waiting caller is told, and no channel is asked for again without a promise."""
    async with _link(server) as link:
        channel = ChannelRecorder(link, own)
        await channel.listen("before")
        server.pause()
        waiting = asyncio.create_task(own.subscribe(b"one"))
        dropped = asyncio.create_task(own.subscribe(b"two"))
        await asyncio.sleep(0)  # both wait now
        dropped.cancel()
        own.unsubscribe(b"two")
        with pytest.raises(BrokerUnavailableError, match="broke"):
            await waiting
        own.unsubscribe(b"one")
        server.resume()
        await asyncio.wait_for(own._link.keeper.wait_up(), 5)
        await eventually(lambda: channel.resubscriptions)
        await asyncio.wait_for(link.keeper.wait_up(), 5)
        assert await channels(link) == {b"before"}
    assert channel.resubscriptions == [b"before"]


async def test_a_channel_dropped_during_an_outage_is_not_asked_for_again(server: RedisServer, own: Subscriber) -> None:
    """What nobody wants any more when the connection is back is not asked for."""
    async with _link(server) as link:
        channel = ChannelRecorder(link, own)
        await channel.listen("one")
        await channel.listen("two")
        server.kill()
        await eventually(lambda: not own._link.is_up)
        own.unsubscribe(b"one")
        with pytest.raises(BrokerUnavailableError, match="not reachable"):
            await own.subscribe(b"two")
        await server.start()
        await eventually(lambda: channel.resubscriptions)
        await asyncio.wait_for(link.keeper.wait_up(), 5)
        assert await channels(link) == {b"two"}
    assert channel.resubscriptions == [b"two"]


async def test_a_channel_dropped_during_resubscription_is_forgotten(
    subscriber: Subscriber, link: Link, channel: ChannelRecorder, redis_url: str
) -> None:
    """A channel that is dropped before its second confirmation is forgotten; one wanted again is heard."""
    await channel.listen("one")
    await channel.listen("two")
    old, wire = subscriber._link.keeper._wire, None
    cut(redis_url, "pubsub")
    while wire in (None, old):
        await asyncio.sleep(0)  # one loop tick after the other, so that no confirmation has come yet
        wire = subscriber._link.keeper._wire
    assert channel.resubscriptions == []
    subscriber.unsubscribe(b"one")
    subscriber.unsubscribe(b"two")
    await subscriber.subscribe(b"two")
    await link.call("PUBLISH", "two", "text")
    assert await channel.latest("two") == [b"text"]
    assert await channels(link) == {b"two"}
    assert list(subscriber._subscriptions) == [b"two"]


async def test_a_channel_that_redis_refuses_is_told(server: RedisServer) -> None:
    """Redis may refuse a channel: its callers are told, and what was confirmed before is still heard."""
    async with _link(server) as link:
        await link.call("ACL", "SETUSER", "limited", "on", ">secret", "+@all", "resetchannels", "&mine*")
        url = server.url.replace("//:", "//limited:").replace(server.url.split(":")[2].split("@")[0], "secret")
        listening = Link(url)
        subscriber = subscriber_on(listening)
        channel = ChannelRecorder(link, subscriber)
        async with kept(listening.keeper):
            await channel.listen("mine")
            with pytest.raises(BrokerUnavailableError, match="refuses to work: NOPERM"):
                await subscriber.subscribe(b"another")
            both = (subscriber.subscribe(name) for name in (b"another", b"mine too"))
            answers = await asyncio.gather(*both, return_exceptions=True)
            assert [type(answer) for answer in answers] == [BrokerUnavailableError, type(None)]
            await channel.listen("mine too")
            assert await channel.latest("mine too") == []
            subscriber.unsubscribe(b"mine too")
            assert await channel.latest("mine") == []
            assert list(subscriber._subscriptions) == [b"mine"]


async def test_an_idle_subscriber_keeps_its_connection(own: Subscriber) -> None:
    """A connection on which nothing is published is asked for a sign of life, and kept."""
    loop = asyncio.get_running_loop()
    until = loop.time() + 0.6  # longer than the time limit
    wire = own._link.keeper._wire
    await own.subscribe(b"one")
    await eventually(lambda: loop.time() > until)
    assert own._link.keeper._wire is wire


async def test_a_refused_resubscription_is_repeated(server: RedisServer) -> None:
    """A channel that somebody relies on is asked for until Redis allows it again, and then its listener is told."""
    async with _link(server) as link:
        await link.call("ACL", "SETUSER", "limited", "on", ">secret", "+@all", "allchannels")
        url = server.url.replace("//:", "//limited:").replace(server.url.split(":")[2].split("@")[0], "secret")
        listening = Link(url)
        subscriber = subscriber_on(listening)
        channel = ChannelRecorder(link, subscriber)
        async with kept(listening.keeper):
            await channel.listen("one")
            await link.call("ACL", "SETUSER", "limited", "resetchannels")  # ends connections that hear such channels
            await eventually(lambda: listening.keeper.reconnects_total)
            refused = asyncio.create_task(subscriber.subscribe(b"one"))
            with pytest.raises(BrokerUnavailableError, match="refuses to work: NOPERM"):
                await refused
            assert channel.resubscriptions == []
            await link.call("ACL", "SETUSER", "limited", "allchannels")
            await eventually(lambda: channel.resubscriptions)
            await link.call("PUBLISH", "one", "text")
            assert await channel.latest("one") == [b"text"]


async def test_messages_and_replies_share_one_connection(server: RedisServer) -> None:
    """Over one link replies settle the calls that asked, and messages are heard, however they are mixed."""
    async with _link(server) as link:
        channel = ChannelRecorder(link, subscriber_on(link))
        await channel.listen("one")
        answers = []
        for number in range(500):
            answers.append(link.call("PUBLISH", "one", number))
            answers.append(link.call("ECHO", f"echo {number}"))
        assert await asyncio.gather(*answers) == [
            reply for number in range(500) for reply in (1, f"echo {number}".encode())
        ]
        assert await channel.latest("one") == [str(number).encode() for number in range(500)]


@contextlib.asynccontextmanager
async def _link(server: RedisServer, *, watch_seconds: float = WATCH_SECONDS) -> AsyncIterator[Link]:
    link = Link(server.url, timeout_seconds=0.3, watch_seconds=watch_seconds)
    async with kept(link.keeper):
        yield link
