"""Whether what a Redis process holds was compared with Postgres: a process that is new may have lost something."""

import asyncio
from collections.abc import Sequence

import msgspec

from broker.keys import Keys
from broker.redis.futures import ignore_result
from broker.redis.link import Link
from broker.sessions.epochs import Mark
from broker.sessions.live_sessions import LiveSessions

# Whoever compares tells again after every page that it is still at it; when it dies, another one begins after this.
CLAIM_MS = 5000


class RedisState(msgspec.Struct, frozen=True):
    """Which process answers, and whether its data may be used as they are."""

    run_id: str
    is_checked: bool
    is_empty: bool


class Fence:
    """The Redis side of the comparison. Methods raise BrokerError, and BrokerUnavailableError when Redis is away."""

    def __init__(self, link: Link, sessions: LiveSessions, *, keys: Keys, name: str) -> None:
        self._link = link
        self._sessions = sessions
        self._keys = keys
        self._name = name

    def ask(self) -> "asyncio.Future[RedisState]":
        """Ask which process answers; the commands leave now. Raises ValueError when Redis does not tell its run id."""
        info = self._link.call("INFO", "server")
        fenced = self._link.call("GET", self._keys.fenced)
        # The number of partitions is noted with the very first data.
        replies = asyncio.gather(info, fenced, self._link.call("EXISTS", self._keys.claim))

        async def read() -> RedisState:
            return _redis_state(*await replies)

        return asyncio.ensure_future(read())

    async def is_checked(self, run_id: str) -> bool:
        """Whether the data of this process were compared."""
        return bool(await self._link.call("GET", self._keys.fenced) == run_id.encode())

    async def claim(self) -> bool:
        """Whether nobody else compares; then it is us, for a while."""
        answer = await self._link.call("SET", self._keys.fencing, self._name, "NX", "PX", CLAIM_MS)
        return answer is not None

    async def compare(self, marks: Sequence[Mark]) -> int:
        """Give every session another epoch that Redis holds, but not as far as its mark; returns how many."""
        self._link.call("PEXPIRE", self._keys.fencing, CLAIM_MS).add_done_callback(ignore_result)
        positions = await asyncio.gather(*(self._sessions.position(mark.session_id) for mark in marks))
        behind = [
            self._sessions.fence(mark.session_id, epoch=position.epoch, seen=mark.seq)
            for mark, position in zip(marks, positions, strict=True)
            if position is not None and position.seq < mark.seq
        ]
        return sum(await asyncio.gather(*behind))

    async def checked(self, run_id: str) -> None:
        """The data of this process were compared."""
        await asyncio.gather(
            self._link.call("SET", self._keys.fenced, run_id), self._link.call("DEL", self._keys.fencing)
        )


def _redis_state(info: bytes, fenced: bytes | None, has_data: int) -> RedisState:
    for line in info.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"run_id":
            return RedisState(value.decode(), is_checked=fenced == value, is_empty=not has_data)
    raise ValueError("INFO has no run_id")
