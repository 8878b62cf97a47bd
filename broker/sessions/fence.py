"""Whether what a Redis process holds was compared with Postgres: a process that is new may have lost something."""

import asyncio
from collections.abc import Sequence

import msgspec

from broker import keys
from broker.redis.connection import Reply
from broker.redis.link import Link
from broker.sessions.epochs import Mark
from broker.sessions.live_sessions import LiveSessions

# Whoever compares tells again after every page that it is still at it; when it dies, another one begins after this.
CLAIM_MS = 5000


class Standing(msgspec.Struct, frozen=True):
    """Which process answers, and whether its data may be used as they are."""

    run_id: str
    is_checked: bool
    is_empty: bool


class Fence:
    """The Redis side of the comparison. Methods raise BrokerError, and BrokerUnavailableError when Redis is away."""

    def __init__(self, link: Link, sessions: LiveSessions, *, name: str) -> None:
        self._link = link
        self._sessions = sessions
        self._name = name

    def ask(self) -> "asyncio.Future[tuple[Reply, Reply, Reply]]":
        """Ask who answers; all of it leaves now. `standing` reads the reply."""
        return asyncio.gather(
            self._link.call("INFO", "server"),
            self._link.call("GET", keys.FENCED),
            # Noted with the very first data.
            self._link.call("EXISTS", keys.PARTITIONS),
        )

    async def is_checked(self, run_id: str) -> bool:
        """Whether the data of this process were compared."""
        return bool(await self._link.call("GET", keys.FENCED) == run_id.encode())

    async def claim(self) -> bool:
        """Whether nobody else compares; then it is us, for a while."""
        answer = await self._link.call("SET", keys.FENCING, self._name, "NX", "PX", CLAIM_MS)
        return answer is not None

    async def compare(self, marks: Sequence[Mark]) -> int:
        """Give every session another epoch that Redis holds, but not as far as its mark; returns how many."""
        self._link.call("PEXPIRE", keys.FENCING, CLAIM_MS).add_done_callback(_retrieve)
        positions = await asyncio.gather(*(self._sessions.send_position(mark.session_id) for mark in marks))
        behind = [
            self._sessions.send_fence(mark.session_id, epoch=epoch.decode(), seen=mark.seq)
            for mark, (epoch, seq, _) in zip(marks, positions, strict=True)
            if epoch is not None and int(seq) < mark.seq
        ]
        return sum(await asyncio.gather(*behind))

    async def checked(self, run_id: str) -> None:
        """The data of this process were compared."""
        await asyncio.gather(self._link.call("SET", keys.FENCED, run_id), self._link.call("DEL", keys.FENCING))


def standing(reply: tuple[Reply, Reply, Reply]) -> Standing:
    """Read the reply of `Fence.ask`. Raises ValueError when Redis does not tell who it is."""
    info, fenced, has_data = reply
    for line in info.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"run_id":
            return Standing(value.decode(), is_checked=fenced == value, is_empty=not has_data)
    raise ValueError("INFO has no run_id")


def _retrieve(answer: "asyncio.Future[Reply]") -> None:
    answer.exception()
