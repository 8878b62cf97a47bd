"""All clients of a scenario: bringing them in, letting them talk, and at the end waiting until they have everything."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from random import Random
from typing import Any, Final

import asyncpg
import httpx

from tests.chaos.guest import Guest
from tests.chaos.ledger import Fetched, Ledger, Roster, Row
from tests.chaos.person import Habits, Person, Surroundings
from tests.chaos.visitor import Visitor

_LOOK_SECONDS: Final = 0.25
_POLL_SECONDS: Final = 0.05
_ROWS_SECONDS: Final = 0.2
_AT_ONCE: Final = 100
_PAGE: Final = 200
_REST_SECONDS: Final = 5.0
_JOIN_SECONDS: Final = 60.0

Json = dict[str, Any]


class Crowd:
    """The clients, the REST API beside them, and the ledger. `urls` are the gateways that are asked over REST."""

    def __init__(
        self,
        ledger: Ledger,
        random: Random,
        *,
        doors: Callable[[], Sequence[int]],
        urls: Callable[[], Sequence[str]],
        habits: Habits,
        settle_seconds: float,
    ) -> None:
        self.visitors: list[Person] = []
        self.sessions: list[str] = []
        self._ledger = ledger
        self._random = random
        self._urls = urls
        self._settle_seconds = settle_seconds
        self._runs: set[asyncio.Task[None]] = set()
        self._holes: asyncio.Queue[Person] = asyncio.Queue(100_000)
        self._around = Surroundings(ledger, doors, habits, self._holes.put_nowait)
        self._rest = httpx.AsyncClient(timeout=_REST_SECONDS, trust_env=False)
        self._spoken = 0
        self._have_rosters = True

    # Coming

    @contextlib.asynccontextmanager
    async def gathered(self) -> AsyncIterator["Crowd"]:
        """While this is open, the clients live."""
        watching = [
            asyncio.create_task(self._look_after(), name="chaos look"),
            *(asyncio.create_task(self._fill_holes(), name=f"chaos holes {number}") for number in range(4)),
        ]
        try:
            yield self
        finally:
            for visitor in self.visitors:
                visitor.is_gone = True
                visitor.cut()
            for task in (*watching, *self._runs):
                task.cancel()
            await asyncio.gather(*watching, *self._runs, return_exceptions=True)
            await self._rest.aclose()

    async def admit(self, sessions: int, each: int, presence: str = "full") -> None:
        """Create sessions with so many clients each; returns when everybody is in."""
        self._have_rosters = presence == "full"
        made = [await self._create_session(max_users=each + 2, presence=presence) for _ in range(sessions)]
        self.sessions += made
        coming = [self._person(session) for _ in range(each) for session in made]
        for start in range(0, len(coming), _AT_ONCE):
            batch = coming[start : start + _AT_ONCE]
            for visitor in batch:
                task = asyncio.create_task(_live(visitor), name=f"chaos client {visitor.number}")
                self._runs.add(task)
                task.add_done_callback(self._runs.discard)
            if not await self._until(lambda batch=batch: all(one.is_in for one in batch), _JOIN_SECONDS):  # type: ignore[misc]
                raise TimeoutError(f"{sum(not one.is_in for one in batch)} of {len(batch)} clients did not get in")

    async def _create_session(self, **fields: object) -> str:
        answer = await self._rest.post(
            f"{self._urls()[0]}/api/sessions", json={"name": "chaos", "spirit": False, **fields}
        )
        answer.raise_for_status()
        return str(answer.json()["data"]["id"])

    def _person(self, session: str) -> Person:
        number, guests = len(self.visitors), self._around.habits.guests
        kind = Guest if guests and number % guests == 1 else Visitor
        person = kind(number, session, self._around, Random(self._random.random()))  # noqa: S311 - repeatable
        self.visitors.append(person)
        return person

    # Talking

    @contextlib.asynccontextmanager
    async def talking(self, rate: float, speakers: Sequence[Person] | None = None) -> AsyncIterator[None]:
        """Meanwhile, so many messages are sent each second, each by one of the speakers (by default all)."""
        task = asyncio.create_task(self._talk(rate, speakers or self.visitors), name="chaos talk")
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _talk(self, rate: float, speakers: Sequence[Person]) -> None:
        loop = asyncio.get_running_loop()
        begun, said = loop.time(), 0
        while True:
            while said < (loop.time() - begun) * rate:
                self.say(self._random.choice(speakers))
                said += 1
            await asyncio.sleep(1 / max(rate, 20))

    def say(self, visitor: Person) -> None:
        """One message of this client."""
        if not visitor.is_gone:
            self._spoken += 1
            visitor.say(f"{visitor.number}-{self._spoken}")

    # Settling

    async def settle(self, database_url: str) -> None:
        """Wait until everything has come everywhere, or the time is over; then write down how it is."""
        present = self.present()
        # One by one: each of these needs those before it.
        await self._until(lambda: all(one.is_in and not one.unacked for one in present))
        for session in self.sessions:  # after this one nothing of what was sent before can come
            speakers = [one for one in present if one.session == session]
            if speakers:
                self.say(speakers[0])
        await self._until(lambda: all(one.is_in and not one.unacked for one in present))
        await self._until(lambda: self._are_level(present))
        await self._store_rows(database_url)
        for visitor in present:
            if visitor.hole_from is not None:
                await self._fill(visitor, is_last=True)
        await self._store_rosters(present)

    def present(self) -> list[Person]:
        """Everybody who is not gone."""
        return [one for one in self.visitors if not one.is_gone]

    def _are_level(self, present: Iterable[Person]) -> bool:
        newest = Counter[str]()
        for one in present:
            newest[one.session] = max(newest[one.session], one.seq)
        return all(one.is_in and one.seq == newest[one.session] for one in present)

    async def _store_rows(self, database_url: str) -> None:
        keys = [key for one in self.visitors for key in one.acked]
        connection = await asyncpg.connect(database_url, timeout=30)
        try:
            query = "SELECT count(DISTINCT text) FROM messages WHERE session_id = ANY($1::uuid[]) AND text = ANY($2)"
            deadline = asyncio.get_running_loop().time() + self._settle_seconds
            while await connection.fetchval(query, self.sessions, keys) < len(set(keys)):
                if asyncio.get_running_loop().time() > deadline:
                    break
                await asyncio.sleep(_ROWS_SECONDS)
            rows = await connection.fetch(
                "SELECT session_id::text, seq, id::text, text FROM messages WHERE session_id = ANY($1::uuid[])"
                " ORDER BY session_id, seq",
                self.sessions,
            )
        finally:
            await connection.close()
        for session, seq, message_id, key in rows:
            self._ledger.add(Row(self._ledger.now(), session, seq, message_id, key))

    async def _store_rosters(self, present: Sequence[Person]) -> None:
        expected = {session: {one.user for one in present if one.session == session} for session in self.sessions}
        for session in self.sessions:
            for url in self._urls():
                users = await self._roster(url, session, expected[session])
                self._ledger.add(Roster(self._ledger.now(), session, url, users))
        for one in present if self._have_rosters else ():
            self._ledger.add(Roster(self._ledger.now(), one.session, f"client {one.number}", sorted(one.users)))

    async def _roster(self, url: str, session: str, expected: set[str]) -> list[str]:
        """The users that a gateway tells of: the expected ones, or what it still says when the time is over."""
        deadline = asyncio.get_running_loop().time() + self._settle_seconds
        while True:
            users: list[str] = []
            with contextlib.suppress(httpx.HTTPError):
                data = (await self._rest.get(f"{url}/api/sessions/{session}/users")).raise_for_status().json()["data"]
                users = [user["id"] for user in data["users"]]
            if set(users) == expected or asyncio.get_running_loop().time() > deadline:
                return users
            await asyncio.sleep(_POLL_SECONDS)

    # History

    async def _fill_holes(self) -> None:
        while True:
            await self._fill(await self._holes.get())

    async def _fill(self, visitor: Person, *, is_last: bool = False) -> None:
        """Take from the history what the client could not be sent. Rows may still be on their way: see `settle`."""
        after = visitor.hole_from
        if after is None:
            return
        with contextlib.suppress(httpx.HTTPError):
            url = self._random.choice(list(self._urls()))
            while after is not None:
                path = f"{url}/api/sessions/{visitor.session}/messages"
                answer = await self._rest.get(path, params={"after": after, "limit": _PAGE})
                data = answer.raise_for_status().json()["data"]
                for item in data["items"]:
                    self._merge(visitor, item)
                after = data["next_after"]
            visitor.caught_up()
            if is_last:
                visitor.hole_from = None

    def _merge(self, visitor: Person, item: Json) -> None:
        if item["id"] not in visitor.has:
            visitor.has.add(item["id"])
            entry = Fetched(self._ledger.now(), visitor.number, item["seq"], item["id"], item["text"])
            self._ledger.add(entry)

    # Waiting

    async def _look_after(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            for visitor in self.visitors:
                visitor.look(loop.time())

    async def until(self, is_so: Callable[[], bool], what: str, seconds: float) -> None:
        """Return once it is so. Raises TimeoutError."""
        if not await self._until(is_so, seconds):
            raise TimeoutError(f"{what} did not come true within {seconds:g} s")

    async def _until(self, is_so: Callable[[], bool], seconds: float | None = None) -> bool:
        deadline = asyncio.get_running_loop().time() + (self._settle_seconds if seconds is None else seconds)
        while not is_so():
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(_POLL_SECONDS)
        return True


async def _live(person: Person) -> None:
    """The person's life; that a client breaks is a finding like any other."""
    try:
        await person.run()
    except Exception as error:  # noqa: BLE001 - whatever it is
        person.refused("", repr(error), is_final=True)
        person.is_gone = True
