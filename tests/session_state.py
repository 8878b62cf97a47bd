"""The hot state of a session, for tests: driven through the real scripts, and read back from Redis."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pytest

from broker.errors import BrokerUnavailableError
from broker.keys import Keys
from broker.pubsub.subscriber import Subscriber
from broker.redis.connection import Reply
from broker.redis.link import Link
from broker.redis.reconnect import Reconnector
from broker.redis.scripts import Scripts
from tests.waiting import eventually as eventually  # noqa: PLC0414 - for the gateway's tests

PARTITION = 3
KEYS = Keys("seance", 4)
PART = KEYS.part(PARTITION)
SESSION = "5b0d7a52-6c07-4b86-9b2d-0d4f6a6b9f10"
OTHER_SESSION = "7c1e8b63-7d18-4c97-8c3e-1e5f7b7cae21"
ANA, BEN, CAT = (f"0000000{number}-0000-4000-8000-00000000000{number}" for number in (1, 2, 3))
NAMES = {ANA: "Ana", BEN: "Ben", CAT: "Cat"}
FOREVER = 2**52
TS = "2026-11-22T21:05:00.123Z"
EPOCH = "k3v9"
GRACE = 15_000
KEPT: Any = pytest.approx(GRACE, abs=10_000)  # the rest of a grace time that has just begun, in ms
IDLE_SECONDS = 600
NO_BANS: Mapping[str, int] = MappingProxyType({})


def now_ms() -> int:
    """Milliseconds since 1970, also by the clock of Redis, which runs on the same machine."""
    return time.time_ns() // 1_000_000


async def take_lease(link: Link, session_id: str, keys: Keys, gateway: str = "gw-1") -> None:
    """Give a gateway a lease without end in the session's partition, unless the gateway has one already."""
    await grant(link, keys.partition_of(session_id), gateway, keys=keys)


async def grant(link: Link, partition: int, gateway: str, *, expiry: int = FOREVER, keys: Keys = KEYS) -> None:
    """The same in this partition; the lease ends then, and the gateway has its first connection to Redis."""
    await link.call("ZADD", keys.gateways(partition), "NX", expiry, gateway)
    await link.call("HSETNX", f"{keys.part(partition)}connections", gateway, 1)


@contextlib.asynccontextmanager
async def kept(keeper: Reconnector) -> AsyncIterator[None]:
    """Run the keeper; at the start its wire is up."""
    task = asyncio.create_task(keeper.run(), name="keeper")
    try:
        async with asyncio.timeout(10):
            await keeper.wait_up()
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.asynccontextmanager
async def full_memory(link: Link) -> AsyncIterator[None]:
    """Meanwhile this Redis counts as full."""
    usual = (await link.call("CONFIG", "GET", "maxmemory"))[b"maxmemory"]
    await link.call("CONFIG", "SET", "maxmemory", 1)
    try:
        yield
    finally:
        await link.call("CONFIG", "SET", "maxmemory", usual)


def subscriber_on(link: Link) -> Subscriber:
    """A subscriber that subscribes again on the link's new connections."""
    subscriber = Subscriber(link, retry_seconds=0.02)
    link.on_up = (subscriber.resubscribe,)
    return subscriber


class ChannelRecorder:
    """Records the messages of channels."""

    def __init__(self, link: Link, subscriber: Subscriber) -> None:
        self._link = link
        self._subscriber = subscriber
        self._heard: list[tuple[bytes, bytes]] = []
        self.resubscriptions: list[bytes] = []
        subscriber._link.on_message = self.heard
        subscriber.on_resubscribed = self.resubscribed

    async def listen(self, channel: str) -> None:
        """Subscribe to this channel."""
        await self._subscriber.subscribe(channel.encode())

    async def latest(self, channel: str) -> list[bytes]:
        """The messages of the channel since the last call, with every message published before this call."""
        mark = (channel.encode(), b"the end")
        await self._link.call("PUBLISH", *mark)
        await eventually(lambda: mark in self._heard, what="the mark on the channel")
        payloads = [payload for where, payload in self._heard if where == mark[0] and payload != mark[1]]
        self._heard = [(where, payload) for where, payload in self._heard if where != mark[0]]
        return payloads

    # Listener

    def heard(self, channel: bytes, payload: bytes) -> None:
        """Record a message."""
        self._heard.append((channel, payload))

    def resubscribed(self, channel: bytes) -> None:
        """Record a new subscription."""
        self.resubscriptions.append(channel)


class SessionState:
    """One session of one partition, and its keys in Redis."""

    def __init__(self, link: Link, scripts: Scripts, recorder: ChannelRecorder, session_id: str = SESSION) -> None:
        self.id = session_id
        self.key = KEYS.session(PARTITION, session_id)
        self._link = link
        self._scripts = scripts
        self._recorder = recorder

    # The scripts, called with the arguments of the typed wrappers

    async def open(
        self,
        *removed: str,
        presence: str = "full",
        max_users: int = 6,
        log_events: int = 512,
        log_bytes: int | None = None,
        is_active: int = 1,
        multiple_connections: int | None = None,
        seq: int = 0,
        epoch: str = EPOCH,
        bans: Mapping[str, int] = NO_BANS,
    ) -> Reply:
        """Open the session's hot state, and record its channel."""
        await self._recorder.listen(self.key)
        fields: list[str | int] = [
            "presence",
            presence,
            "max_users",
            max_users,
            "log_events",
            log_events,
            "is_active",
            is_active,
        ]
        if log_bytes is not None:
            fields += ["log_bytes", log_bytes]
        if multiple_connections is not None:
            fields += ["multiple_connections", multiple_connections]
        lists = (*removed, "--", *_flat(bans), "--", *fields)
        return await self._call("open", (self.key,), epoch, seq, IDLE_SECONDS, *lists)

    async def join(
        self,
        user: str,
        *,
        name: str | None = None,
        keys: Sequence[str] = (),
        gateway: str = "gw-1",
        connection: str = "c-1",
        link: int = 1,
        is_granted: bool = True,
        max_backlog: int = 1000,
        address: str = "",
        is_exempt: bool = False,
    ) -> Reply:
        """Take a seat through a gateway; `link` is the number of its connection, `is_granted` gives it a lease.

        `keys` are those of the name; without them its small letters are its key.
        """
        if is_granted:
            await grant(self._link, PARTITION, gateway)
        name = name or NAMES[user]
        decided = (
            user_json(user, name),
            json.dumps(keys or [name.casefold()]),
            gateway,
            connection,
            TS,
            link,
            max_backlog,
        )
        return await self._seats("join", user, *decided, address, int(is_exempt))

    async def leave(self, user: str, reason: str = "left", *, connection: str = "c-1", grace: int = GRACE) -> Reply:
        """Give a seat up."""
        return await self._seats("leave", user, connection, reason, TS, grace)

    async def remove(self, user: str, *, earlier: str = "", ban_ms: int = 0, with_addresses: bool = False) -> list[Any]:
        """Remove a user; `earlier` is the JSON of one who may have no seat now."""
        name = json.dumps([NAMES[user].casefold()]) if earlier else ""
        reply: list[Any] = await self._seats("remove", user, TS, earlier, name, ban_ms, int(with_addresses))
        return reply

    async def close(self) -> Reply:
        """Close the session."""
        return await self._seats("close", TS)

    async def publish(
        self,
        text: str = "hi",
        *,
        kind: str = "m",
        user: str = ANA,
        message_id: str = "m-1",
        key: str = "",
        max_backlog: int = 1000,
        key_seconds: int = 300,
        is_awaited: bool = False,
        is_seated: bool = True,
        limits: tuple[int, ...] = (),
    ) -> Reply:
        """Publish a message whose data is only its text; `is_seated` gives the user a seat without an event.

        `limits` are the arguments of the script from the ninth on.
        """
        if user != "-" and is_seated:
            seat = {"n": NAMES[user].casefold(), "u": user_json(user), "g": "gw-1", "c": "c-1", "s": "here"}
            await self.redis("HSETNX", f"{self.key}:users", user, json.dumps(seat))
        body = f',"ts":"{TS}","data":{{"text":"{text}"}}}}'
        return await self._seats(
            "publish", body, kind, user, message_id, max_backlog, key, key_seconds, int(is_awaited), *limits
        )

    async def renew(self, gateway: str, *, link: int = 1, lease_ms: int = 10_000, is_taken: bool = False) -> Reply:
        """Prolong a gateway's lease; `is_taken` takes the lease when there is none."""
        return await self._call("renew_gateway", (PART,), gateway, link, lease_ms, int(is_taken))

    async def reap(self, *, limit: int = 100, link: int = 1, least_ms: int = 5000, is_granted: bool = True) -> Reply:
        """Reap the partition for the gateway "reaper"; `is_granted` gives it a lease."""
        if is_granted:
            await grant(self._link, PARTITION, "reaper")
        return await self._call("reap", (PART,), TS, limit, "reaper", link, least_ms)

    async def fence(self, seen: int, *, epoch: str = EPOCH, new: str = "new", is_rewritten: bool = False) -> Reply:
        """Fence the session, whose events were handed out up to `seen`."""
        return await self._seats("fence", epoch, seen, new, int(is_rewritten))

    async def reconcile(
        self, seq: int, *removed: str, is_active: int = 1, new: str = "new", bans: Mapping[str, int] = NO_BANS
    ) -> Reply:
        """Make the session agree with what Postgres knows of it."""
        return await self._seats("reconcile", seq, is_active, new, TS, *removed, "--", *_flat(bans))

    async def _seats(self, name: str, *arguments: str | int) -> Reply:
        return await self._call(name, (self.key, PART), *arguments)

    async def _call(self, name: str, script_keys: tuple[str, ...], *arguments: str | int) -> Reply:
        return await self._scripts.call(name, script_keys, *arguments)

    # The data in Redis

    async def redis(self, *command: str | int) -> Reply:
        """Send any command."""
        return await self._link.call(*command)

    @contextlib.asynccontextmanager
    async def full_memory(self) -> AsyncIterator[None]:
        """Meanwhile this Redis counts as full, and refuses everything that could need more memory."""
        async with full_memory(self._link):
            with pytest.raises(BrokerUnavailableError, match="OOM"):
                await self.redis("SET", "anything", 1)
            yield

    async def heard(self) -> list[str]:
        """The messages of the session's channel since the last call."""
        return [payload.decode() for payload in await self._recorder.latest(self.key)]

    async def hash(self) -> dict[str, str]:
        """The session's fields."""
        return _mapping(await self.redis("HGETALL", self.key))

    async def log(self) -> dict[str, str]:
        """The session's log: entry id → payload."""
        return {
            entry.decode(): fields[1].decode()
            for entry, fields in await self.redis("XRANGE", f"{self.key}:log", "-", "+")
        }

    async def stream(self) -> list[dict[str, Any]]:
        """The stream's entries for the worker: {s, e, d}, with d decoded."""
        entries = [_mapping(fields) for _, fields in await self.redis("XRANGE", f"{PART}events", "-", "+")]
        return [{**entry, "d": json.loads(entry["d"])} for entry in entries]

    async def recorded(self) -> list[dict[str, Any]]:
        """The events in the stream, all of which must be of this session and epoch."""
        entries = await self.stream()
        assert {(entry["s"], entry["e"]) for entry in entries} <= {(self.id, EPOCH)}
        return [entry["d"] for entry in entries]

    async def seats(self) -> dict[str, dict[str, Any]]:
        """User id → seat."""
        return {uid: json.loads(raw) for uid, raw in _mapping(await self.redis("HGETALL", f"{self.key}:users")).items()}

    async def names(self) -> dict[str, str]:
        """Folded name → user id."""
        return _mapping(await self.redis("HGETALL", f"{self.key}:names"))

    async def removed(self) -> set[str]:
        """The ids of removed users."""
        return _texts(await self.redis("SMEMBERS", f"{self.key}:removed"))

    async def bans(self) -> dict[str, Any]:
        """Who is banned → the rest of the ban in ms."""
        found = await self.redis("ZRANGE", f"{self.key}:bans", 0, -1, "WITHSCORES")
        return {who.decode(): pytest.approx(int(deadline) - now_ms(), abs=10_000) for who, deadline in found}

    async def held_by(self, gateway: str) -> set[str]:
        """The members whose seats a gateway holds in this partition."""
        return _texts(await self.redis("SMEMBERS", f"{PART}gateway:{gateway}"))

    async def away(self) -> dict[str, int]:
        """Member → the rest of its seat's grace time in ms, for the partition."""
        seconds, microseconds = await self.redis("TIME")
        now = int(seconds) * 1000 + int(microseconds) // 1000
        found = await self.redis("ZRANGE", f"{PART}away", 0, -1, "WITHSCORES")
        return {member.decode(): int(score) - now for member, score in found}

    async def pass_time(self, ms: int) -> None:
        """Move the end of every grace time in the partition nearer."""
        for member in await self.away():
            await self.redis("ZINCRBY", f"{PART}away", -ms, member)

    async def keys(self) -> set[str]:
        """Every key in Redis except leases: `:log` for this session's log, `events` for the stream."""
        names = _texts(await self.redis("KEYS", "*"))
        return {name.removeprefix(self.key).removeprefix(PART) for name in names} - {"gateways", "connections"}

    async def expiring(self) -> set[str]:
        """Suffixes of the session's keys that expire after the idle time."""
        found = set()
        for name in _texts(await self.redis("KEYS", f"{self.key}*")):
            if name.removeprefix(self.key).startswith((":bans", ":left:")):  # have a time of their own
                continue
            ttl = await self.redis("TTL", name)
            assert ttl == -1 or IDLE_SECONDS - 60 < ttl <= IDLE_SECONDS, (name, ttl)
            if ttl != -1:
                found.add(name.removeprefix(self.key))
        return found

    def member(self, user: str) -> str:
        """The name of this user's seat in the partition's keys."""
        return f"{self.id} {user}"


def user_json(user: str, name: str | None = None) -> str:
    """A user as in events."""
    return f'{{"id":"{user}","name":"{name or NAMES[user]}"}}'


def joined(seq: int, user: str, count: int) -> str:
    """The payload of `user_joined`."""
    data = f'{{"user":{user_json(user)},"user_count":{count}}}'
    return f'{seq} e {user}\n{{"type":"user_joined","seq":{seq},"ts":"{TS}","data":{data}}}'


def left(seq: int, user: str, count: int, reason: str = "left") -> str:
    """The payload of `user_left`."""
    data = f'{{"user":{user_json(user)},"user_count":{count},"reason":"{reason}"}}'
    kind = "r" if reason == "removed" else "e"
    return f'{seq} {kind} {user}\n{{"type":"user_left","seq":{seq},"ts":"{TS}","data":{data}}}'


def message(seq: int, text: str = "hi", *, kind: str = "m", user: str = ANA) -> str:
    """The payload of a message of `SessionState.publish`."""
    return f'{seq} {kind} {user}\n{{"type":"message_received","seq":{seq},"ts":"{TS}","data":{{"text":"{text}"}}}}'


def closed(seq: int) -> str:
    """The payload of `session_closed`."""
    return f'{seq} c -\n{{"type":"session_closed","seq":{seq},"ts":"{TS}","data":{{}}}}'


def bodies(*payloads: str) -> list[dict[str, Any]]:
    """The events in payloads, decoded."""
    return [json.loads(payload.partition("\n")[2]) for payload in payloads]


def _flat(bans: Mapping[str, int]) -> list[str | int]:
    """The bans as arguments of a script, their rest in ms as an instant."""
    return [part for who, ms in bans.items() for part in (who, now_ms() + ms)]


def _mapping(found: dict[bytes, bytes] | list[bytes]) -> dict[str, str]:
    if isinstance(found, dict):
        return {name.decode(): value.decode() for name, value in found.items()}
    texts = [item.decode() for item in found]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def _texts(items: list[bytes]) -> set[str]:
    return {item.decode() for item in items}
