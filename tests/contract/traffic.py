"""Talk with real gateways that brings about every event, every error and every close that a client may get."""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Mapping
from typing import Any

import asyncpg
from redis import Redis

from broker.keys import Keys
from gateway.access.claims import Claims
from gateway.access.tokens import Tokens
from tests.frames import client_frame, text
from tests.gateways import SECRET, Gateway
from tests.metrics import Scrape
from tests.raw_client import HEADERS, ClosedByServerError, RawClient, connected
from tests.redis_admin import redis_admin
from tests.rest import call, create_session
from tests.services import Services
from tests.waiting import eventually

Json = dict[str, Any]
PARTITIONS = 16
KEYS = Keys("seance", PARTITIONS)
TOKENS = Tokens(SECRET, 3600)
BATCHES: Mapping[str, str | None] = {**HEADERS, "Sec-WebSocket-Protocol": "seance.v1.batch"}
# What the gateway must refuse, and the schemas too.
WRONG: tuple[Json, ...] = (
    {"type": "message", "id": 1},
    {"type": "message", "id": 2, "text": ""},
    {"type": "message", "id": 3, "text": "x" * 501},
    {"type": "message", "id": 4, "text": 7},
    {"type": "message", "id": 5, "text": "hi", "ack": "perhaps"},
    {"type": "message", "id": 6, "text": "hi", "key": "k" * 65},
    {"type": "typing", "id": "x" * 65},
)


def _admission(name: str, seconds: int = 3600) -> str:
    """An application's token for a person without an id of the application."""
    return TOKENS.create_access_token(Claims(scope="sessions:join", name=name), expires_seconds=seconds)


class Talk:
    """What was said by either side, and how connections ended.

    `gateway` has a short grace time and is stopped at the end; `strict` has little patience, a low rate of messages,
    room for one entry, and admits only with a token.
    """

    def __init__(self, services: Services, gateway: Gateway, strict: Gateway) -> None:
        self.clients: list[RawClient] = []
        self.codes: set[int | None] = set()
        self.wrong_answers: list[Json] = []
        self._services = services
        self._gateway = gateway
        self._strict = strict

    @property
    def said(self) -> list[Json]:
        """Every valid command."""
        return [message for client in self.clients for message in client.said]

    @property
    def frames(self) -> list[Any]:
        """What every frame of a gateway held: an object, or an array of them."""
        return [frame for client in self.clients for frame in client.heard]

    @property
    def events(self) -> list[Json]:
        """Every object of a gateway."""
        return [event for frame in self.frames for event in (frame if isinstance(frame, list) else [frame])]

    async def backlog(self) -> None:
        """Before a worker runs: a partition is as full as it may be, and then a rate is."""
        session = await create_session(self._gateway.url)
        async with self._client(session, self._strict) as ana:
            await ana.join("Ana", token=_admission("Ana"))
            for number in range(4):
                await ana.say({"type": "message", "id": number, "text": "hi"})
            await self._until(ana, "error", code="unavailable")
            await self._until(ana, "error", code="rate_limited")

    async def all(self) -> None:
        """Everything else, with a worker running."""
        await asyncio.gather(
            self._people(), self._summary(), self._batch(), self._wrong(), self._gap(), self._refusals(), self._slow()
        )
        await self._rate_limited()
        await self._ends()
        await self._unavailable()
        await self._restart()

    @contextlib.asynccontextmanager
    async def _client(
        self, session: Json, gateway: Gateway | None = None, headers: Mapping[str, str | None] = HEADERS, **how: int
    ) -> AsyncIterator[RawClient]:
        url = (gateway or self._gateway).url
        async with connected(url, session["id"], headers, receive_bytes=how.get("receive_bytes")) as client:
            self.clients.append(client)
            yield client

    async def _until(self, client: RawClient, kind: str, **data: object) -> Json:
        """The next object of this type with these data."""
        while True:
            event = await client.event_of(kind)
            if data.items() <= event["data"].items():
                return event

    async def _closed(self, client: RawClient) -> None:
        """Read to the end."""
        try:
            while True:
                await client.event()
        except ClosedByServerError as end:
            self.codes.add(end.code)

    async def _people(self) -> None:
        """Come, talk, type, ping, leave, get lost, come back, be removed, close."""
        session = await create_session(self._gateway.url, spirit=True)
        async with self._client(session) as ana:
            welcome = (await ana.join("Ana", id=1, password=None))["data"]
            await ana.say({"type": "message", "id": 1, "text": "hello", "key": "k", "ack": "persisted"})
            await self._until(ana, "spirit_thinking")
            await self._until(ana, "ack", level="persisted")
            await ana.say({"type": "message", "text": "and", "ack": "accepted", "more": "is ignored"})
            await self._until(ana, "ack", level="accepted")
            await ana.say({"type": "ping", "id": "a"})
            await self._until(ana, "pong")
            for name, reason in (("Ben", "left"), ("Cleo", "lost"), ("Dan", "removed")):
                async with self._client(session) as other:
                    user = (await other.join(name))["data"]["you"]
                    await other.say({"type": "typing"})
                    await self._until(ana, "user_typing", user=user)
                    if reason == "left":
                        await other.say({"type": "leave", "id": 9})
                        await self._closed(other)
                    elif reason == "removed":
                        await self._rest("DELETE", session, f"/users/{user['id']}")
                        await self._closed(other)
                await self._until(ana, "user_left", reason=reason)
            await self._rest("POST", session, "/messages", {"text": "from a server", "is_spirit": True})
            await self._rest("POST", session, "/events", {"type": "user_typing"})
            async with self._client(session) as again:
                resume = {"epoch": welcome["epoch"], "seq": welcome["seq"]}
                await again.join("x", token=welcome["token"], resume=resume)
                await self._closed(ana)
                await self._rest("DELETE", session, "")
                await self._closed(again)

    async def _summary(self) -> None:
        session = await create_session(self._gateway.url, presence="summary")
        async with self._client(session) as ana, self._client(session) as ben:
            await ana.join("Ana")
            await ben.join("Ben")
            await self._until(ana, "presence_changed")

    async def _batch(self) -> None:
        session = await create_session(self._gateway.url)
        async with redis_admin(self._services, session["id"]) as behind, self._client(session, headers=BATCHES) as ana:
            await ana.join("Ana")
            while not any(isinstance(frame, list) for frame in ana.heard):
                last = await behind.publish(50)
                while f'"seq": {last},' not in json.dumps(ana.heard[-1]):
                    await ana.event()

    async def _wrong(self) -> None:
        """Commands that are refused, and the last straw."""
        session = await create_session(self._gateway.url)
        async with self._client(session) as ana:
            join, typing = (text(command) for command in ('{"type":"join","name":"Ana"}', '{"type":"typing","id":0}'))
            await ana.send(join + typing)
            await self._until(ana, "error", code="not_joined")
            await ana.say({"type": "ping"})
            await self._until(ana, "pong")
            for command in WRONG:
                await ana.send(text(json.dumps(command)))
                self.wrong_answers.append(await self._until(ana, "error"))
            await ana.send(text('{"type":"dance"}'))
            await self._until(ana, "error", code="unknown_command")
            await ana.send(text("[]") * 31)
            await self._closed(ana)

    async def _gap(self) -> None:
        """Numbers that were given, and whose events Redis lacks."""
        session = await create_session(self._gateway.url)
        key = KEYS.session(KEYS.partition_of(session["id"]), session["id"])
        async with self._client(session) as ana:
            await ana.join("Ana")
            with Redis.from_url(self._services.redis_url) as redis:
                redis.hincrby(key, "seq", 3)
                await ana.say({"type": "message", "id": 1, "text": "after a gap"})
                await self._until(ana, "gap")
                redis.hset(key, "is_active", "0")  # closed, but the event has not come yet
                redis.delete(f"{key}:users")
            await ana.say({"type": "message", "id": 2, "text": "too late"})
            await self._until(ana, "error", code="session_closed")

    async def _refusals(self) -> None:
        """Joins that are turned away."""
        session = await create_session(self._gateway.url, max_users=2, password="open sesame")
        other = await create_session(self._gateway.url)
        async with self._client(session) as ana:
            await ana.join("Ana", password="open sesame")
            for fields in ({"name": "Ben"}, {"name": "Ben", "token": other["host_token"]}, {"name": "ANA"}, {}):
                async with self._client(session) as guest:
                    password = {"password": "open sesame"} if fields.get("name") == "ANA" else {}
                    await guest.say({"type": "join", **fields, **password})
                    await self._closed(guest)
            async with self._client(session) as ben, self._client(session) as cleo:
                await ben.join("Ben", token=session["host_token"])
                await cleo.say({"type": "join", "name": "Cleo", "password": "open sesame"})
                await self._closed(cleo)
        gone = await create_session(self._gateway.url)
        async with self._client(gone) as late:
            await self._forget(gone["id"])
            await late.say({"type": "join", "name": "Ana"})
            await self._closed(late)

    async def _rate_limited(self) -> None:
        """A user who resumes too often."""
        session = await create_session(self._gateway.url)
        async with self._client(session) as ana:
            token = (await ana.join("Ana"))["data"]["token"]
            async with self._client(session, self._strict) as again:
                await again.join("Ana", token=token)
            async with self._client(session, self._strict) as late:
                await late.say({"type": "join", "token": token})
                await self._closed(late)

    async def _slow(self) -> None:
        session = await create_session(self._gateway.url, slow_consumers="disconnect")
        async with (
            redis_admin(self._services, session["id"]) as behind,
            self._client(session, receive_bytes=4096) as slow,
        ):
            await slow.join("Slow")
            while not Scrape(self._gateway.url)["seance_slow_consumers_total"]:
                await behind.publish(300, "\N{GHOST}" * 500)
            await self._closed(slow)

    async def _ends(self) -> None:
        """Broken rules, silence, and another epoch."""
        # The strict gateway seats nobody while an event waits to be stored, and much was said before.
        with Redis.from_url(self._services.redis_url) as redis:
            await eventually(
                lambda: not any(redis.xlen(key) for key in redis.scan_iter(match="*:events")), what="an empty backlog"
            )
        session = await create_session(self._gateway.url)
        async with self._client(session, self._strict) as deaf, self._client(session, self._strict) as silent:
            await self._tokens(deaf)
            await self._closed(silent)
            await self._closed(deaf)
        for data in (client_frame(3), client_frame(1, b"\xff"), text("x" * 20_000)):
            async with self._client(session) as broken:
                await broken.send(data)
                await self._closed(broken)
        key = KEYS.session(KEYS.partition_of(session["id"]), session["id"])
        async with self._client(session) as ana:
            await ana.join("Ana")
            with Redis.from_url(self._services.redis_url) as redis:
                redis.hset(key, "epoch", "another0")
            async with self._client(session) as ben:
                await ben.join("Ben")
                await self._closed(ana)

    async def _tokens(self, client: RawClient) -> None:
        """Join by a token that ends soon, and go on with another one."""
        await client.join("Deaf", token=_admission("Deaf", seconds=2))
        await self._until(client, "token_expiring")
        for token in (_admission("Deaf"), "no token", _admission("Somebody else")):
            while True:
                await client.say({"type": "refresh", "id": 1, "token": token})
                answer = await client.event_of("token_renewed", "error")
                if answer["data"].get("code") != "rate_limited":
                    break
                await asyncio.sleep(answer["data"]["retry_after_ms"] / 1000)

    async def _unavailable(self) -> None:
        """A gateway without its lease gives no seats."""
        session = await create_session(self._gateway.url)
        leases = KEYS.gateways(KEYS.partition_of(session["id"]))
        async with self._client(session) as ana:
            with Redis.from_url(self._services.redis_url) as redis:
                held = redis.zcard(leases)
                redis.delete(leases)
                await ana.say({"type": "join", "name": "Ana"})
                await self._closed(ana)
                # The next session may lie in the same partition.
                await eventually(lambda: redis.zcard(leases) == held, what="new leases")

    async def _restart(self) -> None:
        session = await create_session(self._gateway.url)
        async with self._client(session) as ana:
            await ana.join("Ana")
            self._gateway.signal(signal.SIGTERM)
            await self._until(ana, "reconnect")
            await self._closed(ana)

    async def _forget(self, session_id: str) -> None:
        """Let there be no such session any more."""
        with Redis.from_url(self._services.redis_url) as redis:
            redis.delete(KEYS.session(KEYS.partition_of(session_id), session_id))
        connection = await asyncpg.connect(self._services.database_url)
        try:
            await connection.execute("DELETE FROM sessions WHERE id = $1", session_id)
        finally:
            await connection.close()

    async def _rest(self, method: str, session: Json, path: str, body: Json | None = None) -> None:
        address = f"/api/sessions/{session['id']}{path}"
        answer = await call(self._gateway.url, method, address, token=session["host_token"], body=body)
        assert answer.is_success, answer.text
