"""Works on a session behind the gateways' backs, straight in Redis: publishes much, and looks how far it has come."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

from broker.events import User
from broker.keys import Keys
from broker.pubsub.publisher import Outcome, Published, Publisher
from broker.redis.link import Link
from broker.redis.scripts import Scripts
from broker.sessions.event_log import EventLog
from tests.gateways import Process
from tests.services import Services
from tests.session_state import kept
from tests.waiting import eventually

PARTITIONS = 16
KEYS = Keys("seance", PARTITIONS)
AT_ONCE = 500
_TRIM_EVERY = 64  # seqs between two trims of a log
_NODE = 100  # entries that Redis drops together


class RedisAdmin:
    """One session."""

    def __init__(self, link: Link, session_id: str) -> None:
        self.session_id = session_id
        self._link = link
        self._publisher = Publisher(link, Scripts(link), keys=KEYS, max_backlog=200_000)
        self._key = KEYS.session(KEYS.partition_of(session_id), session_id)

    async def publish(self, count: int, text: str = "hi") -> int:
        """So many messages from a server; returns the last seq."""
        seq = 0
        while count > 0:
            sent = [self._send(text) for _ in range(min(count, AT_ONCE))]
            for answer in sent:
                outcome = await answer
                assert isinstance(outcome, Published)
                seq = outcome.seq
            count -= len(sent)
        return seq

    async def announce_typing(self, user: User, count: int) -> None:
        """So many `user_typing` of this user, faster than the user's gateway would let them through."""
        await asyncio.gather(
            *(self._publisher.send_ephemeral(self.session_id, "user_typing", user) for _ in range(count))
        )

    async def committed(self) -> int:
        """Return the session's last seq, once Postgres has everything."""
        positions: list[int] = [0]

        async def is_committed() -> bool:
            seq, persisted = await self._link.call("HMGET", self._key, "seq", "persisted")
            positions.append(int(seq))
            return bool(seq == persisted)

        await eventually(is_committed)
        return positions[-1]

    async def trim(self) -> int:
        """Publish until the log has lost most of what is committed now; returns its first seq.

        A commit of many events trims the log too: the last one must be over.
        """
        committed = await self.committed()
        await self.publish(_NODE + _TRIM_EVERY)
        # One trim drops 10 000 entries at most.
        while await self.log_first() <= committed - 2 * _NODE - _TRIM_EVERY:
            await self.publish(_TRIM_EVERY)
        await self.committed()
        return await self.log_first()

    async def log_first(self) -> int:
        """The seq of the log's first event."""
        return (await EventLog(self._link, keys=KEYS).range(self.session_id, 0, limit=1))[0].seq

    async def lose_log(self, *, committed: int) -> None:
        """The log is gone, and Postgres has as much as this."""
        await self._link.call("DEL", self._key + ":log")
        await self._link.call("HSET", self._key, "persisted", committed)

    def _send(self, text: str) -> "asyncio.Future[Outcome]":
        """Publish in this tick."""
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._publisher.send(
            self.session_id,
            user_id=None,
            user_name="RedisAdmin",
            text=text,
            settle=lambda _, outcome: answer.set_result(outcome),
        )
        return answer


@contextlib.asynccontextmanager
async def redis_admin(services: Services, session_id: str) -> AsyncIterator[RedisAdmin]:
    """Behind the scenes of this session."""
    link = Link(services.redis_url)
    async with kept(link.keeper):
        yield RedisAdmin(link, session_id)


def resident_bytes(process: Process) -> int:
    """The memory that this process has now."""
    assert process.popen is not None
    pages = Path(f"/proc/{process.popen.pid}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
