"""Whether what a Redis process holds was compared with Postgres: a process that is new may have lost something."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import msgspec

from broker.keys import Keys
from broker.redis.futures import ignore_result
from broker.redis.installation import info_fields
from broker.redis.link import Link
from broker.redis.scripts import Scripts
from broker.sessions.recorded import Reconciled, Recorded, reconcile

# The gateway that compares renews its claim after every page; when the gateway dies, another one begins after this.
CLAIM_MS = 5000
# How many keys Redis looks at in one step of the scan: about a millisecond, in which nothing else is answered.
SCAN_KEYS = 2000


class Comparison(msgspec.Struct, frozen=True):
    """The newest comparison, as Redis tells: of which data, and how many there were before."""

    data: str
    number: int


class RedisState(msgspec.Struct, frozen=True):
    """Which data answer, and whether they were compared.

    `data` names the process (`run_id`) and the line of its data (`master_replid`): a process that becomes a replica and
    then the primary again has another line, and may have come back without what it held before.
    """

    data: str
    is_checked: bool


class Fence:
    """The Redis side of the comparison. Methods raise BrokerError, and BrokerUnavailableError when Redis is away."""

    def __init__(self, link: Link, scripts: Scripts, *, keys: Keys, name: str) -> None:
        self._link = link
        self._scripts = scripts
        self._keys = keys
        self._name = name
        # The number of the newest comparison that this gateway has seen. A primary with an older one was left and found
        # again, without what the gateways wrote elsewhere meanwhile.
        self._newest = 0

    def ask(self) -> "asyncio.Future[RedisState]":
        """Ask which data answer; the commands leave now. Raises ValueError when Redis does not tell its run id."""
        replies = asyncio.gather(
            self._link.call("INFO", "server"),
            self._link.call("INFO", "replication"),
            self._link.call("GET", self._keys.fenced),
        )

        async def read() -> RedisState:
            server, replication, fenced = await replies
            run_id = info_fields(server).get("run_id")
            if run_id is None:
                raise ValueError("INFO has no run_id")
            # A server without replication has no `master_replid`.
            data = f"{run_id}:{info_fields(replication).get('master_replid', '')}"
            return RedisState(data, is_checked=self._is_of(data, fenced))

        return asyncio.ensure_future(read())

    async def is_checked(self, data: str) -> bool:
        """Whether these data were compared."""
        return self._is_of(data, await self._link.call("GET", self._keys.fenced))

    async def claim(self) -> bool:
        """Whether nobody else compares; then it is us, for a while."""
        answer = await self._link.call("SET", self._keys.fencing, self._name, "NX", "PX", CLAIM_MS)
        return answer is not None

    async def hot_sessions(self, page_sessions: int) -> AsyncIterator[Sequence[str]]:
        """The ids of all sessions that Redis holds, in pages of about this size; an id may come twice."""
        cursor = b"0"
        found: set[str] = set()
        while True:
            pattern = self._keys.sessions
            cursor, names = await self._link.call("SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_KEYS)
            found.update(session_id for name in names if (session_id := self._keys.session_id_of(name)) is not None)
            is_over = cursor == b"0"
            if found and (is_over or len(found) >= page_sessions):
                yield sorted(found)
                found.clear()
            self._link.call("PEXPIRE", self._keys.fencing, CLAIM_MS).add_done_callback(ignore_result)
            if is_over:
                return

    def reconcile(self, recorded: Sequence[Recorded]) -> "asyncio.Future[list[Reconciled]]":
        """Make each session agree with what Postgres knows of it; returns what was missing. The commands leave now."""
        return asyncio.gather(*(reconcile(self._scripts, self._keys, one) for one in recorded))

    async def checked(self, data: str) -> None:
        """These data were compared."""
        self._newest += 1
        await asyncio.gather(
            self._link.call("SET", self._keys.fenced, f"{data} {self._newest}"),
            self._link.call("DEL", self._keys.fencing),
        )

    def _is_of(self, data: str, fenced: bytes | None) -> bool:
        """Whether the newest comparison is one of these data, and none that was made before one that is known here."""
        comparison = _comparison(fenced)
        is_newest = comparison.number >= self._newest
        self._newest = max(self._newest, comparison.number)
        return comparison.data == data and is_newest


def _comparison(fenced: bytes | None) -> Comparison:
    data, _, number = (fenced or b"").decode(errors="replace").partition(" ")
    return Comparison(data, int(number) if number.isdecimal() else 0)
