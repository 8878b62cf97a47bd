"""The scripted gateway: plays a script per session, connection by connection, and notes what the client does wrong."""

import asyncio
import json
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from tests.clients.scripted.building import EPOCH, TOKEN
from tests.clients.scripted.scripts import SCRIPTS

_DEADLINE_SECONDS = 15.0
_BROWSER_CLIENT = Path(__file__).resolve().parents[3] / "clients" / "browser" / "src"

Json = dict[str, Any]


class MismatchError(Exception):
    """The client did something else than it should."""


class Run:
    """One client's way through a script."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.connections = SCRIPTS[session_id.partition("~")[0]]["connections"]
        self.problems: list[str] = []
        self.messages: list[Json] = []
        self.refusal: Json | None = None
        self.count = 0
        self.active = 0
        # When the gateway last named a time to come back.
        self.told_at = time.monotonic()
        self.is_idle = asyncio.Event()
        if not self.connections:
            self.is_idle.set()

    def begin(self) -> list[Json]:
        """The steps of the next connection."""
        self.count += 1
        self.active += 1
        self.is_idle.clear()
        if self.count <= len(self.connections):
            steps: list[Json] = self.connections[self.count - 1]
            return steps
        self.problems.append(f"connection {self.count}, but the script has {len(self.connections)}")
        return [{"close": 4500}]

    def end(self) -> None:
        """A connection is over."""
        self.active -= 1
        if not self.active:
            self.is_idle.set()

    async def report(self) -> Json:
        """What went wrong."""
        problems = self.problems
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                await self.is_idle.wait()
        except TimeoutError:
            problems = [*problems, "a connection has not ended"]
        if self.count < len(self.connections):
            problems = [*problems, f"only {self.count} of {len(self.connections)} connections came"]
        return {"problems": problems, "connections": self.count}


class Gateway:
    """All runs."""

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}

    async def request(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer what is no WebSocket, and refuse upgrades when the script says so."""
        room, _, name = request.path.strip("/").partition("/")
        if room == "ws" and name.partition("~")[0] in SCRIPTS:
            return self._upgrade(connection, name)
        run = self._runs.get(name.removeprefix("sessions/"))
        if room == "api" and run is not None:
            # Browsers don't tell why an upgrade was refused: their client asks REST, which refuses it likewise.
            return _json(HTTPStatus.OK, {}) if run.refusal is None else _refusal(run.refusal)
        if room == "scripts":
            return _json(HTTPStatus.OK, list(SCRIPTS.values()))
        if room == "client":
            return _module(name)
        if room == "runs" and name.partition("~")[0] in SCRIPTS:
            return _json(HTTPStatus.OK, await self._run(name).report())
        return _json(HTTPStatus.NOT_FOUND, {"scripts": list(SCRIPTS)})

    def _run(self, session_id: str) -> Run:
        return self._runs.setdefault(session_id, Run(session_id))

    def _upgrade(self, connection: ServerConnection, session_id: str) -> Response | None:
        run = self._run(session_id)
        steps = run.begin()
        match steps[0]:
            case {"refuse": int()}:
                run.told_at = time.monotonic()
                run.end()
                run.refusal = steps[0]
                return _refusal(steps[0])
            case _:
                run.refusal = None
                connection.run, connection.steps = run, steps  # type: ignore[attr-defined]
                return None

    async def play(self, connection: ServerConnection) -> None:
        """Play one connection."""
        run: Run = connection.run  # type: ignore[attr-defined]
        try:
            await _Play(run, connection).all(connection.steps)  # type: ignore[attr-defined]
        except MismatchError as error:
            run.problems.append(f"connection {run.count}: {error}")
            await connection.close(4500, "see the report")
        except ConnectionClosed as closed:
            run.problems.append(f"connection {run.count}: the client ended it too early: {closed}")
        finally:
            run.end()


class _Play:
    """One connection."""

    def __init__(self, run: Run, connection: ServerConnection) -> None:
        self._run = run
        self._connection = connection

    async def all(self, steps: list[Json]) -> None:
        """Play the steps, then wait for the client to end it."""
        for step in steps:
            if not await self._step(step):
                return
        await self._stay()

    async def _step(self, step: Json) -> bool:  # noqa: C901, PLR0912 - one line or two for each kind of step
        """Play one step; whether there is a connection after it."""
        match step:
            case {"told_to_wait_ms": int(told)}:
                self._check_wait(told)
            case {"expect": dict(fields)}:
                await self._expect(fields)
            case {"welcome": dict(fields)}:
                await self._say({"type": "welcome", "data": {**_welcome(self._run.session_id), **fields}})
            case {"message": [int(seq), str(text)], **rest}:
                await self._say(_message(self._run.session_id, seq, text, rest.get("id", f"m{seq}")))
            case {"ack": dict(fields), **rest}:
                await self._answer("ack", {"message_id": "x", "level": "accepted", **fields}, rest)
            case {"error": dict(fields), **rest}:
                await self._answer("error", {"message": "no", "retryable": False, **fields}, rest)
            case {"renew": dict(fields), **rest}:
                await self._answer("token_renewed", fields, {"id": None, **rest})
            case {"pong": _}:
                await self._answer("pong", {}, {})
            case {"send": {"type": "reconnect"} as event}:
                self._run.told_at = time.monotonic()
                await self._say(event)
            case {"send": event}:
                await self._say(event)
            case {"text": str(text)}:
                await self._connection.send(text)
            case {"fragments": [*parts]}:
                await self._connection.send(parts)
            case {"binary": str(text)}:
                await self._connection.send(text.encode())
            case {"close": int(code), **rest}:
                await self._connection.close(code, rest.get("reason", ""))
                return False
            case {"cut": _}:
                self._connection.transport.abort()
                return False
            case _:
                raise MismatchError(f"no such step: {step}")
        return True

    def _check_wait(self, told_ms: int) -> None:
        """Half the time is enough to tell the time that the gateway named from the client's own backoff of 20 ms.

        The client learns the time after the gateway has named it, so a slow machine only makes the wait longer.
        """
        waited_ms = (time.monotonic() - self._run.told_at) * 1000
        if waited_ms < told_ms / 2:
            raise MismatchError(f"the client was told to wait {told_ms} ms, and waited {waited_ms:.0f} ms")

    async def _expect(self, fields: Json) -> None:
        command = await self._read()
        wrong = {name: command.get(name) for name, value in fields.items() if command.get(name) != value}
        if wrong:
            raise MismatchError(f"the client should say {fields}, and said {command}")
        if command["type"] in {"message", "ping", "refresh"}:
            self._run.messages.append(command)

    async def _read(self) -> Json:
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                command: Json = json.loads(await self._connection.recv())
        except TimeoutError as error:
            raise MismatchError("the client says nothing") from error
        return command

    async def _stay(self) -> None:
        """Wait for the end, which has to be the client's doing."""
        try:
            command = await self._read()
        except ConnectionClosed:
            return
        if command["type"] != "leave":
            raise MismatchError(f"the client should say nothing more, and said {command}")
        await self._connection.close(1000)

    async def _answer(self, kind: str, data: Json, rest: Json) -> None:
        """Answer a command of the run: the last one, or the one with index `of`; `id` says something else."""
        command_id = rest["id"] if "id" in rest else self._run.messages[rest.get("of", -1)]["id"]
        if "retry_after_ms" in data:
            self._run.told_at = time.monotonic()
        await self._say({"type": kind, "data": data, **({} if command_id is None else {"id": command_id})})

    async def _say(self, event: object) -> None:
        await self._connection.send(json.dumps(event))


def _refusal(step: Json) -> Response:
    headers = {"Retry-After": str(step["retry_after"])} if "retry_after" in step else {}
    return _json(HTTPStatus(step["refuse"]), {}, headers)


def _welcome(session_id: str) -> Json:
    session = {"id": session_id, "name": "Evening", "created_at": "2026-11-22T21:05:00.123Z", "max_users": 6}
    return {
        "session": {**session, "presence": "full", "spirit": False},
        "you": {"id": "u-ana", "name": "Ana"},
        "users": [{"id": "u-ana", "name": "Ana"}],
        "user_count": 1,
        "seq": 1,
        "epoch": EPOCH,
        "token": TOKEN,
        "resumed": {"recovered": False, "source": "none", "missed": 0},
        "heartbeat_seconds": 25,
    }


def _message(session_id: str, seq: int, text: str, message_id: str) -> Json:
    user = {"user_id": "u-ben", "user_name": "Ben", "is_spirit": False}
    ts = "2026-11-22T21:05:00.123Z"
    data = {"id": message_id, "session_id": session_id, **user, "text": text, "timestamp": ts}
    return {"type": "message_received", "seq": seq, "ts": ts, "data": data}


def _module(name: str) -> Response:
    """A module of the browser client; an empty page without a name, for it to run in."""
    if not name:
        return _answer(HTTPStatus.OK, "text/html", b"<!doctype html><title>player</title>")
    path = _BROWSER_CLIENT / Path(name).name
    if not path.is_file():
        return _json(HTTPStatus.NOT_FOUND, {})
    return _answer(HTTPStatus.OK, "text/javascript", path.read_bytes())


def _json(status: HTTPStatus, body: object, headers: dict[str, str] | None = None) -> Response:
    return _answer(status, "application/json", json.dumps(body).encode(), headers)


def _answer(status: HTTPStatus, kind: str, content: bytes, headers: dict[str, str] | None = None) -> Response:
    head = {"Content-Type": kind, "Access-Control-Allow-Origin": "*", **(headers or {})}
    return Response(status, status.phrase, Headers({**head, "Content-Length": str(len(content))}), content)


async def serve_scripts(port: int) -> None:
    """Serve on this loopback port, 0 for a free one, until the process is ended."""
    gateway = Gateway()
    async with serve(
        gateway.play,
        "127.0.0.1",
        port,
        process_request=gateway.request,
        compression=None,
        subprotocols=[Subprotocol("seance.v1.batch")],
        select_subprotocol=lambda _, offered: offered[0] if offered else None,
        ping_interval=None,
        close_timeout=2,
    ) as server:
        [(host, bound)] = {socket.getsockname()[:2] for socket in server.sockets}
        print(json.dumps({"url": f"http://{host}:{bound}"}), flush=True)  # noqa: T201 - how it is found
        await server.serve_forever()
