"""Two installations on one Redis: neither touches the keys of the other, or hears its channels."""

import uuid
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis

from broker.events import User
from broker.keys import Keys
from broker.pubsub.publisher import Publisher
from broker.redis.link import Link
from broker.redis.scripts import Scripts
from broker.sessions.live_sessions import LiveSessions, SessionInfo
from gateway.settings import Settings
from tests.session_state import ANA, ChannelRecorder, kept, subscriber_on, take_lease

TS = "2026-11-22T21:05:00.123Z"


class Installation:
    """What one installation does with one session, which both have."""

    def __init__(self, link: Link, keys: Keys, session_id: str) -> None:
        scripts = Scripts(link)
        self.link = link
        self.keys = keys
        self.session_id = session_id
        self.sessions = LiveSessions(link, scripts, keys=keys)
        self.publisher = Publisher(link, scripts, keys=keys, max_backlog=100)
        self.recorder = ChannelRecorder(link, subscriber_on(link))

    async def open(self) -> None:
        """Open the session, listen to it, and let Ana in."""
        await self.sessions.open(SessionInfo(self.session_id, "Evening", TS, 9, "full", spirit=False))
        await self.recorder.listen(self.sessions.key(self.session_id))
        await take_lease(self.link, self.session_id, self.keys)
        await self.sessions.join(self.session_id, User(ANA, "Ana"), gateway="gw-1", connection="c-1")

    async def say(self, text: str) -> int:
        """Publish a message; returns its seq."""
        return (await self.publisher.message(self.session_id, user_id=ANA, user_name="Ana", text=text)).seq

    async def heard(self) -> list[bytes]:
        """The payloads on the session's channel since the last call."""
        return await self.recorder.latest(self.sessions.key(self.session_id))


@pytest.mark.parametrize(
    "other",
    [("staging", 0), ("seance:staging", 0), ("seance", 1)],
    ids=["another prefix", "a longer prefix", "another database"],
)
async def test_two_installations_on_one_redis_hear_nothing_of_each_other(
    redis_url: str, other: tuple[str, int]
) -> None:
    """With another prefix or database, the same session of two installations has its own seqs, seats and channel."""
    prefix, database = other
    url = urlsplit(redis_url)._replace(path=f"/{database}").geturl()
    session_id = str(uuid.uuid4())
    keys = [Settings(redis_url=redis_url).keys, Settings(redis_url=url, redis_prefix=prefix).keys]
    links = [Link(redis_url), Link(url)]
    async with kept(links[0].keeper), kept(links[1].keeper):
        production, staging = (Installation(link, one, session_id) for link, one in zip(links, keys, strict=True))
        for one in (production, staging):
            await one.open()
            await one.heard()
        assert (await production.say("for production"), await staging.say("for staging")) == (2, 2)
        for one, said in ((production, b"for production"), (staging, b"for staging")):
            (payload,) = await one.heard()
            assert said in payload


@pytest.mark.parametrize("prefix", ["a:session:b", "seance-1.eu_west"])
async def test_scripts_find_the_session_behind_any_prefix(redis_url: str, prefix: str) -> None:
    """The worker's entries name the session by its id alone, whatever stands in front of its key."""
    session_id = str(uuid.uuid4())
    keys = Keys.of(prefix, 4, 0)
    link = Link(redis_url)
    async with kept(link.keeper), Redis.from_url(redis_url) as redis:
        installation = Installation(link, keys, session_id)
        await installation.open()
        await installation.say("hi")
        entries: Any = await redis.xrange(keys.events(keys.partition_of(session_id)))
        assert [fields[b"s"].decode() for _, fields in entries] == [session_id] * 2
        names: Any = await redis.keys("*")
        assert {name.decode().startswith(f"{prefix}:") for name in names} == {True}
