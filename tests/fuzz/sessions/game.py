"""Plays a plan on running gateways and holds what happens against the model."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import uuid4

import httpx
import msgspec

from tests.contract.bad_websocket_inputs import BAD_FIRST, BROKEN
from tests.frames import close, text
from tests.fuzz.sessions.client import Client
from tests.fuzz.sessions.model import BrokenError, Model
from tests.fuzz.sessions.plan import CLIENTS, Again, Come, Plan, Remove, Said, Serve, Talk, Turn
from tests.fuzz.sessions.together import together

ANSWER_SECONDS: Final = 30.0
_BAD_TOKEN: Final = "a.b.c"
_HISTORY: Final = 200
_LIMITED_SECONDS: Final = 0.5
# What is sent last, and the close code that comes.
_GOODBYES: Final = {"leave": (text('{"type":"leave"}'), 1000), "close": (close(1000), 1000), "cut": (b"", 0)}


class HungError(AssertionError):
    """Something did not come in time; the message says what."""


class Game:
    """One session, and everybody in it; an observer who stays hears every event."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        urls: Sequence[str],
        *,
        patience: float = ANSWER_SECONDS,
        is_limited: bool = False,
    ) -> None:
        self._patience = patience
        self._is_limited = is_limited
        self._http = http
        self._urls = urls
        self._model = Model()
        self._changed = asyncio.Event()
        self._clients = [
            Client(f"client {number}", self._model, self._changed.set, is_limited=is_limited)
            for number in range(CLIENTS)
        ]
        self._observer = Client("observer", self._model, self._changed.set, is_limited=is_limited)
        self._session: dict[str, Any] = {}
        self._acting: set[int] = set()

    @property
    def limited(self) -> int:
        """How many messages were refused because there were too many."""
        return sum(client.limited for client in self._clients)

    async def play(self, plan: Plan) -> None:
        """Play the whole plan. Raises BrokenError, HungError, and AssertionError for wrong answers over REST."""
        await self._open()
        try:
            for turns in plan.rounds:
                self._acting = {turn.client for turn in turns}
                await together(self._turn(turn) for turn in turns)
                await self._settle()
            await self._end()
        finally:
            for client in (*self._clients, self._observer):
                if client.wire is not None:
                    client.wire.cut()

    # Begin and end

    async def _open(self) -> None:
        body = {"name": "fuzz", "spirit": False, "max_users": CLIENTS + 1}
        answer = await self._http.post(f"{self._urls[0]}/api/sessions", json=body)
        assert answer.status_code == httpx.codes.CREATED, answer.text
        self._session = answer.json()["data"]
        await self._observer.connect(self._port(0), self._session["id"], _join(name="observer"))
        await self._until(lambda: self._observer.is_joined, "the observer's welcome")
        self._model.begin_at(self._observer.seq)

    async def _end(self) -> None:
        while not await self._say_the_last():  # noqa: ASYNC110 - the limit lies in another process
            await asyncio.sleep(_LIMITED_SECONDS)
        await self._check_roster()
        await self._check_history()
        self._model.is_closed = True
        everybody = (*self._clients, self._observer)
        for client in everybody:
            client.is_going = True
        answer = await self._request("DELETE", "", 0)
        assert answer.status_code == httpx.codes.OK, answer.text
        await self._until(lambda: all(client.wire is None for client in everybody), "the close of everybody")
        if self._observer.code != 4504:
            raise BrokenError(f"the session was closed, and the observer with {self._observer.code}")

    async def _say_the_last(self) -> bool:
        """Have everything so far committed; False when the message was refused because there were too many."""
        refused = self._observer.limited
        last = Said(_message("the last", ack="persisted"), "ack", text="the last", is_persisted=True)
        self._observer.expect(last)
        assert self._observer.wire is not None
        self._observer.wire.send(last.data)
        await self._settle()
        return self._observer.limited == refused

    async def _check_roster(self) -> None:
        for place in range(len(self._urls)):
            answer = await self._request("GET", "/users", place)
            found = {user["id"]: user["name"] for user in answer.json()["data"]["users"]}
            if found != self._model.seated:
                raise BrokenError(f"the roster is {found}, and should be {self._model.seated}")

    async def _check_history(self) -> None:
        found: dict[int, str] = {}
        path = f"/messages?limit={_HISTORY}&after=0"
        while True:
            data = (await self._request("GET", path, 0)).json()["data"]
            found |= {item["seq"]: item["text"] for item in data["items"]}
            if data["next_after"] is None:
                break
            path = f"/messages?limit={_HISTORY}&after={data['next_after']}"
        if found != self._model.texts:
            differing = sorted(set(found.items()) ^ set(self._model.texts.items()))
            raise BrokenError(f"the history differs from the events in {differing[:6]}")

    # Turns

    async def _turn(self, turn: Turn) -> None:
        client = self._clients[turn.client]
        match turn.action:
            case Talk() if client.is_connected:
                await self._talk(client, turn.action)
            case Come() if not client.is_connected and not client.is_removed:
                await self._come(client, turn.action)
            case Again(gateway) if client.is_connected:
                await self._connect(client, gateway, token=client.token)
                await self._until(lambda: client.is_connected, f"the second welcome of {client.name}")
            case Serve(texts, gateway):
                await self._serve(f"server {turn.client}", texts, gateway)
            case Remove(gateway) if client.user_id in self._model.seated:
                await self._remove(client, gateway)
            case _:
                pass  # the step does not fit any more

    async def _talk(self, client: Client, talk: Talk) -> None:
        wire = client.wire
        assert wire is not None
        said = list(client.allowed(talk.said))
        data = b"".join(each.data for each in said)
        if talk.ending == "stay":
            for each in said:
                client.expect(each)
            wire.send(data)
            return
        client.is_going = True
        for each in said:
            self._model.say_and_go(client.user_id, each)
        if talk.ending == "leave":
            self._leave(client, "left")
        goodbye, wanted = _GOODBYES.get(talk.ending) or BROKEN[talk.violation][:2]
        wire.send(data + goodbye)
        if talk.ending == "cut":
            wire.cut()
        await self._until(lambda: client.wire is None, f"the end of {client.name} after {talk.ending}")
        if client.code != wanted:
            raise BrokenError(f"{client.name} did {talk.ending} {talk.violation}, close {client.code}, not {wanted}")

    def _leave(self, client: Client, reason: str) -> None:
        self._model.leaving[client.user_id] = reason
        del self._model.seated[client.user_id]

    async def _come(self, client: Client, come: Come) -> None:
        is_seated = client.user_id in self._model.seated
        match come.way:
            case "token" | "resume" if client.token is not None:
                await self._come_back(client, come, is_seated=is_seated)
            case "taken" if (taken := self._some_name(client)) is not None:
                await self._connect(client, come.gateway, name=taken.swapcase())
                await self._refused(client, 4506)
            case "bad_token":
                await self._connect(client, come.gateway, token=_BAD_TOKEN)
                await self._refused(client, 4501)
            case "bad_first":
                await client.connect(self._port(come.gateway), self._session["id"], BAD_FIRST[come.first][0])
                await self._refused(client, 4500)
            case "no_session":
                await client.connect(self._port(come.gateway), str(uuid4()), b"")
                await self._refused(client, 0)
            case _ if is_seated:
                await self._connect(client, come.gateway, name=client.name)
                await self._refused(client, 4506)
            case _:
                self._model.joining.add(client.name)
                await self._connect(client, come.gateway, name=client.name)
                await self._until(lambda: client.is_connected, f"the welcome of {client.name}")

    async def _come_back(self, client: Client, come: Come, *, is_seated: bool) -> None:
        if not is_seated:
            self._model.joining.add(client.name)
        user_id, position = client.user_id, {"epoch": client.epoch, "seq": client.seq}
        resume = {"resume": position} if come.way == "resume" else {}
        await self._connect(client, come.gateway, token=client.token, **resume)
        await self._until(lambda: client.is_connected, f"the welcome of {client.name}, who comes back")
        if client.user_id != user_id:
            raise BrokenError(f"{client.name} was {user_id}, and comes back as {client.user_id}")
        if resume and not client.is_recovered:
            raise BrokenError(f"{client.name} did not recover from {position}")

    def _some_name(self, client: Client) -> str | None:
        """The name of somebody else who has a seat and does nothing in this round."""
        others = (one for number, one in enumerate(self._clients) if number not in self._acting and one is not client)
        return next((one.name for one in others if one.user_id in self._model.seated), self._observer.name)

    async def _connect(self, client: Client, gateway: int, **join: object) -> None:
        await client.connect(self._port(gateway), self._session["id"], _join(**join))

    async def _refused(self, client: Client, code: int) -> None:
        await self._until(lambda: client.wire is None, f"the refusal of {client.name}")
        if client.code != code:
            raise BrokenError(f"{client.name} was refused with {client.code}, not {code}")

    async def _serve(self, name: str, texts: Sequence[str], gateway: int) -> None:
        for each in texts:
            self._model.voice(name).certain.append(each)
            answer = await self._request("POST", "/messages", gateway, {"text": each, "user_name": name})
            if answer.status_code == httpx.codes.TOO_MANY_REQUESTS and self._is_limited:
                self._model.withdraw(name, each)
            else:
                assert answer.status_code == httpx.codes.ACCEPTED, answer.text

    async def _remove(self, client: Client, gateway: int) -> None:
        was_connected = client.is_connected
        client.is_removed = client.is_going = True
        self._leave(client, "removed")
        answer = await self._request("DELETE", f"/users/{client.user_id}", gateway)
        assert answer.status_code == httpx.codes.OK, answer.text
        if was_connected:
            await self._until(lambda: client.wire is None, f"the end of {client.name}, who was removed")
            if client.code != 4507:
                raise BrokenError(f"{client.name} was removed, and closed with {client.code}")

    async def _request(self, method: str, path: str, gateway: int, body: object = None) -> httpx.Response:
        return await self._http.request(
            method,
            f"{self._urls[gateway]}/api/sessions/{self._session['id']}{path}",
            json=body,
            headers={"Authorization": f"Bearer {self._session['host_token']}"},
        )

    # Waiting

    async def _settle(self) -> None:
        """Return once everything that must come has come."""
        everybody = (*self._clients, self._observer)
        await self._until(
            lambda: self._model.is_settled() and all(client.is_settled for client in everybody),
            "an end of the round",
        )
        for client in everybody:
            client.check()

    async def _until(self, look: Callable[[], bool], what: str) -> None:
        everybody = (*self._clients, self._observer)
        try:
            async with asyncio.timeout(self._patience):
                while True:
                    for client in everybody:
                        if client.problem is not None:
                            raise client.problem
                    if look():
                        return
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            waiting = {client.name: client.expected[:3] for client in everybody if client.expected}
            raise HungError(f"{what} did not come; answers {waiting}; {self._model.missing()}") from None

    def _port(self, gateway: int) -> int:
        port = httpx.URL(self._urls[gateway]).port
        assert port is not None
        return port


def _join(**fields: object) -> bytes:
    return text(msgspec.json.encode({"type": "join", **fields}))


def _message(words: str, **fields: object) -> bytes:
    return text(json.dumps({"type": "message", "text": words, **fields}))
