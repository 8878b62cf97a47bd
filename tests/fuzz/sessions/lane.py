"""The part of `make fuzz` that needs running gateways: conversations against the model, and HTTP requests."""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Final, Protocol

import httpx
import msgspec
import uvloop

from gateway.limits.rate import Rate
from gateway.settings import Settings
from tests.fuzz.sessions.game import Game
from tests.fuzz.sessions.plan import Plan, plan
from tests.fuzz.sessions.requests import Known, Requester, operations, request
from tests.fuzz.sessions.shrinking import shrunk
from tests.fuzz.sessions.together import together
from tests.gateways import Gateway, running_gateways, running_workers
from tests.services import Services, running_services

GAMES_AT_ONCE: Final = 6
_HURRIED_SECONDS: Final = 5.0
"""While a plan is made small, what does not come within this time counts as never."""
LIMITED: Final = "limited conversation"
"""The names of conversations begin so on gateways that refuse messages when there are too many."""
_LIMITED_PART: Final = 0.25
_NO_LIMITS: Final = {field.name: "0" for field in msgspec.structs.fields(Settings) if isinstance(field.default, Rate)}
_LOW_LIMITS: Final = {
    "limits": "on",
    "limit_messages_connection": "5+5",
    "limit_messages_user": "5+4",
    "limit_messages_session": "100+30",
    "limit_typing": "0.5+2",
}
_LOG_EVENTS: Final = 5000
_GRACE_SECONDS: Final = 3600
_ORIGIN: Final = "https://app.example"


class Report(Protocol):
    """Is told what was done so far."""

    def __call__(self, done: Mapping[str, int], *, is_last: bool = False) -> None:
        """Called often."""


class FoundError(Exception):
    """A conversation broke a promise; the message tells which, and has the smallest plan that was found."""


@contextlib.contextmanager
def running_cluster(
    folder: Path, services: Services | None = None, *, is_limited: bool = False
) -> Iterator[list[Gateway]]:
    """Two gateways and a worker; users keep their seats and sessions their logs, however long a client is away.

    `is_limited`: messages and `typing` have low limits. All other rates are off: of frames beyond their limit only some
    are answered, and a join may be refused, which leaves too little that must hold.
    """
    limits: dict[str, Any] = {**_NO_LIMITS, **_LOW_LIMITS} if is_limited else {}
    with contextlib.ExitStack() as stack:
        servers = services or stack.enter_context(running_services(folder))
        gateways = running_gateways(
            servers,
            folder,
            2,
            auth_mode="open",
            cors_origins=_ORIGIN,
            resume_grace_seconds=_GRACE_SECONDS,
            log_events=_LOG_EVENTS,
            **limits,
        )
        running = stack.enter_context(gateways)
        stack.enter_context(running_workers(servers, folder, log_events=_LOG_EVENTS))
        yield running


class BrokenPlanError(Exception):
    """A conversation broke a promise; its plan is not made small yet."""

    def __init__(self, name: str, broken: Plan, error: Exception) -> None:
        super().__init__(name)
        self.name = name
        self.plan = broken
        self.error = error


class Lane:
    """Plays and asks on gateways that run already, several things side by side."""

    def __init__(self, seed: int, urls: list[str], report: Report, *, is_limited: bool = False) -> None:
        self._seed = seed
        self._is_limited = is_limited
        self._kind = LIMITED if is_limited else "conversation"
        self._urls = urls
        self._report = report
        self._done = {"conversations": 0, "frames": 0, "limited": 0, "requests": 0}
        self._conversations, self._requested = count(), count()

    async def run(self, seconds: float) -> None:
        """Conversations side by side."""
        deadline = time.monotonic() + seconds
        async with _client() as http:
            known = await self._known(http)
            games = [self._games(http, deadline) for _ in range(GAMES_AT_ONCE)]
            try:
                await together([*games, *(self._requests(known, url, deadline) for url in self._urls)])
            except BrokenPlanError as broken:
                raise await self._found(http, broken) from broken
            self._report(self._done, is_last=True)

    async def repeat(self, name: str) -> None:
        """One conversation."""
        async with _client() as http:
            try:
                await self._play(http, name)
            except BrokenPlanError as broken:
                raise await self._found(http, broken) from broken

    async def _games(self, http: httpx.AsyncClient, deadline: float) -> None:
        while time.monotonic() < deadline:
            await self._play(http, f"{self._kind} {self._seed} {next(self._conversations)}")
            self._report(self._done)

    async def _requests(self, known: Known, url: str, deadline: float) -> None:
        requester = Requester(httpx.URL(url).port or 0)
        try:
            while time.monotonic() < deadline:
                name = f"request {self._seed} {next(self._requested)}"
                await requester.send(request(Random(name), known))  # noqa: S311 - repeatable, no secret
                self._done["requests"] += 1
        finally:
            requester.close()

    async def _known(self, http: httpx.AsyncClient) -> Known:
        """What requests may name: two sessions of their own with their tokens."""
        url = self._urls[0]
        made = [(await http.post(f"{url}/api/sessions", json={"name": "fuzz"})).json()["data"] for _ in range(2)]
        openapi = (await http.get(f"{url}/openapi.json")).json()
        return Known(operations(openapi), [one["id"] for one in made], [one["host_token"] for one in made])

    async def _play(self, http: httpx.AsyncClient, name: str) -> None:
        planned = plan(Random(name), len(self._urls), is_limited=self._is_limited)  # noqa: S311 - no secret
        game = Game(http, self._urls, is_limited=self._is_limited)
        try:
            await game.play(planned)
        except Exception as error:
            raise BrokenPlanError(name, planned, error) from error
        self._done["conversations"] += 1
        self._done["frames"] += planned.frames()
        self._done["limited"] += game.limited

    async def _found(self, http: httpx.AsyncClient, broken: BrokenPlanError) -> FoundError:
        """Make the plan small; nothing else runs meanwhile."""
        smallest = await shrunk(broken.plan, lambda smaller: self._fails(http, smaller))
        again = f"again: make fuzz FUZZ_CONVERSATION={broken.name!r}"
        return FoundError(f"{broken.error}\n{again}\nsmallest plan:\n{smallest}")

    async def _fails(self, http: httpx.AsyncClient, smaller: Plan) -> bool:
        try:
            await Game(http, self._urls, patience=_HURRIED_SECONDS, is_limited=self._is_limited).play(smaller)
        except Exception:  # noqa: BLE001 - whatever is wrong is what is looked for
            return True
        return False


@contextlib.contextmanager
def _lane(seed: int, report: Report, *, is_limited: bool) -> Iterator[tuple[Lane, asyncio.Runner]]:
    with (
        tempfile.TemporaryDirectory(prefix="seance-fuzz-") as folder,
        running_cluster(Path(folder), is_limited=is_limited) as gateways,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        yield Lane(seed, [gateway.url for gateway in gateways], report, is_limited=is_limited), runner


def run(seed: int, seconds: float, report: Report) -> None:
    """Play conversations and send requests for this time. Raises FoundError, FailedRequestError."""
    for is_limited in (False, True):
        with _lane(seed, report, is_limited=is_limited) as (lane, runner):
            runner.run(lane.run(seconds * (_LIMITED_PART if is_limited else 1 - _LIMITED_PART)))


def repeat(name: str) -> None:
    """Play one conversation, by its name. Raises FoundError."""
    with _lane(0, _say_nothing, is_limited=name.startswith(LIMITED)) as (lane, runner):
        runner.run(lane.repeat(name))


def _say_nothing(done: Mapping[str, int], *, is_last: bool = False) -> None:
    del done, is_last


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=30, trust_env=False)
