"""Guests of a session, for tests: they come back when told to go, repeat what was not acknowledged, and keep books."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

Json = dict[str, Any]
RETRY_SECONDS = 0.05
DEADLINE_SECONDS = 30.0


@dataclass(frozen=True)
class Farewell:
    """How a connection ended: what `reconnect` said, when it came (the loop's clock), and the close code."""

    reconnect: Json | None
    at: float
    code: int | None


class ReconnectingClient:
    """One user who stays until its task is cancelled, over as many connections as it takes; `url` may be changed.

    `token` is the first token, if there is one. `provide` gives another one when a token ends, as an application does.
    """

    def __init__(
        self,
        url: str,
        session_id: str,
        name: str,
        *,
        token: str | None = None,
        provide: Callable[[], str] | None = None,
    ) -> None:
        self.url = url
        self.session_id = session_id
        self.name = name
        self.events: list[Json] = []
        self.farewells: list[Farewell] = []
        self.faults: list[str] = []
        self.seqs: dict[str, int] = {}  # acknowledged text → its seq
        self.is_in = asyncio.Event()
        self.renewals = 0
        self._token = token
        self._provide = provide
        self._resume: Json | None = None
        self._socket: ClientConnection | None = None
        self._unanswered: dict[str, asyncio.Future[int]] = {}
        self._reconnect: Json | None = None
        self._told_at = 0.0

    async def run(self) -> None:
        """Stay, and come back."""
        while True:
            code: int | None = None
            with contextlib.suppress(OSError, InvalidHandshake, TimeoutError):
                async with connect(f"ws{self.url.removeprefix('http')}/ws/{self.session_id}", proxy=None) as socket:
                    with contextlib.suppress(ConnectionClosed):
                        await self._stay(socket)
                    code = socket.close_code
            self.is_in.clear()
            self._socket = None
            if code is not None:
                self.farewells.append(Farewell(self._reconnect, self._told_at, code))
            after_ms, self._reconnect = (self._reconnect or {}).get("after_ms", 0), None
            await asyncio.sleep(after_ms / 1000 or RETRY_SECONDS)

    async def say(self, text: str) -> None:
        """Return once the message is acknowledged; `text` is its key too."""
        answer = asyncio.get_running_loop().create_future()
        self._unanswered[text] = answer
        if self._socket is not None:
            await self._send(self._socket, text)
        async with asyncio.timeout(DEADLINE_SECONDS):
            self.seqs[text] = await answer

    @property
    def texts(self) -> list[str]:
        """Every message that was received, in order."""
        return [event["data"]["text"] for event in self.events if event["type"] == "message_received"]

    def came_and_went(self) -> list[str]:
        """The names of those who were seen to come or go."""
        return [event["data"]["user"]["name"] for event in self.events if event["type"] in {"user_joined", "user_left"}]

    async def _send(self, socket: ClientConnection, text: str) -> None:
        with contextlib.suppress(ConnectionClosed):  # it is repeated over the next one
            await socket.send(json.dumps({"type": "message", "id": text, "text": text, "key": text}))

    async def _stay(self, socket: ClientConnection) -> None:
        join = {"type": "join", "name": self.name, "token": self._token, "resume": self._resume}
        await socket.send(json.dumps(join))
        async for frame in socket:
            event = json.loads(frame)
            self._heard(event)
            if event["type"] == "token_expiring" and self._provide is not None:
                await socket.send(json.dumps({"type": "refresh", "id": "r", "token": self._provide()}))
            if self._socket is None and self.is_in.is_set():
                self._socket = socket
                for text in list(self._unanswered):
                    await self._send(socket, text)

    def _heard(self, event: Json) -> None:
        match event["type"]:
            case "welcome":
                self._welcomed(event["data"])
            case "ack":
                self._unanswered.pop(event["id"]).set_result(event["data"]["seq"])
            case "token_renewed":
                self.renewals += 1
                self._token = event["data"]["token"]
            case "error":
                self.faults.append(f"{self.name}: {event}")
            case "reconnect":
                self._reconnect, self._told_at = event["data"], asyncio.get_running_loop().time()
        if "seq" in event:
            assert self._resume is not None
            if event["seq"] != self._resume["seq"] + 1:
                self.faults.append(f"{self.name}: {event['seq']} after {self._resume['seq']}")
            self._resume["seq"] = event["seq"]
            self.events.append(event)

    def _welcomed(self, data: Json) -> None:
        if self._resume is not None and not data["resumed"]["recovered"]:
            self.faults.append(f"{self.name}: not recovered")
        self._token = data["token"]
        self._resume = {"epoch": data["epoch"], "seq": data["seq"]}
        self.is_in.set()


@contextlib.asynccontextmanager
async def staying(guests: Sequence[ReconnectingClient]) -> AsyncIterator[None]:
    """The guests stay meanwhile; all are in at the start."""
    tasks = [asyncio.create_task(guest.run(), name=guest.name) for guest in guests]
    try:
        await all_in(guests)
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def all_in(guests: Sequence[ReconnectingClient]) -> None:
    """Return once they are all in."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        await asyncio.gather(*(guest.is_in.wait() for guest in guests))
