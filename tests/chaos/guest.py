"""A person who uses the Python client that we ship, as an application would."""

import asyncio
from random import Random
from typing import Final
from urllib.parse import urlsplit

from seance_client import (
    Client,
    CommandError,
    Connected,
    Disconnected,
    EndedError,
    Event,
    Gap,
    MessageReceived,
    Policy,
    PresenceChanged,
    SendTimeoutError,
    UnconfirmedError,
    UserJoined,
    UserLeft,
    Welcome,
)
from seance_client.transport import Connection, Target, open_websocket

from tests.chaos.person import Person, Surroundings

_CONNECT_SECONDS: Final = 30.0
_SEND_SECONDS: Final = 30.0
_HEARTBEAT_SECONDS: Final = 25.0  # of the server; the client's patience is told in these


class Guest(Person):
    """The library reconnects, resumes and repeats; the guest only writes down what it is told."""

    def __init__(self, number: int, session: str, around: Surroundings, random: Random) -> None:
        super().__init__(number, session, around, random)
        self._connection: Connection | None = None
        self._heard_at = 0.0
        self._sends: set[asyncio.Task[None]] = set()
        self._waiting: asyncio.Event | None = None
        doors = around.doors()
        habits = around.habits
        self._client = Client(
            [f"ws://127.0.0.1:{doors[(number + turn) % len(doors)]}" for turn in range(len(doors))],
            session,
            name=f"user {number}",
            policy=Policy(
                backoff_base=0.1,
                backoff_cap=1.0,
                open_timeout=3.0,
                ping_after=habits.ping / _HEARTBEAT_SECONDS,
                dead_after=habits.patience / _HEARTBEAT_SECONDS,
            ),
            wants_batches=number % 2 == 1,
            connect=self._open,
            draw=random.random,
        )

    async def run(self) -> None:
        """Be there until it is gone."""
        await self._client.connect(timeout=_CONNECT_SECONDS)
        try:
            async for event in self._client:
                self._take(event)
                if self.is_gone:
                    return
        except EndedError as error:
            self.refused("", f"{type(error).__name__}: {error}", is_final=True)
            self.is_gone = True
        finally:
            for task in self._sends:
                task.cancel()
            await self._client.close()

    def say(self, key: str) -> None:
        """Send a message; the library repeats it until it is acknowledged."""
        self.unacked[key] = None
        task = asyncio.create_task(self._send(key), name=f"chaos send {key}")
        self._sends.add(task)
        task.add_done_callback(self._sends.discard)

    def cut(self, offline_seconds: float = 0.0) -> None:
        """The connection breaks; it comes back after so long."""
        self.offline_seconds = offline_seconds
        if self._connection is not None:
            self._connection.abort()

    async def _open(self, target: Target) -> Connection:
        if self.stays_away and self.connection:
            raise OSError("this guest stays away")
        await asyncio.sleep(self.offline_seconds)
        self.offline_seconds = 0.0
        self._connection = await open_websocket(target)
        self.door = urlsplit(target.url).port or 0
        return self._connection

    def _take(self, event: Event) -> None:
        now = asyncio.get_running_loop().time()
        match event:
            case MessageReceived(seq=seq, id=message_id, text=text):
                self.heard(seq, message_id, text)
            case UserJoined(seq=seq, user=user):
                self.came(seq, str(user.id))
            case UserLeft(seq=seq, user=user, reason=reason):
                self.left(seq, str(user.id), reason)
            case Gap(first=first, last=last):
                self.skipped(first, last)
            case PresenceChanged(user_count=user_count):
                self.counted(user_count)
            case Connected(welcome=welcome):
                self._let_in(welcome)
            case Disconnected(code=code):
                self._thrown_out(code, now)
                return
            case _:
                pass
        self._heard_at = now

    def _let_in(self, welcome: Welcome) -> None:
        resumed = welcome.resumed
        self.welcomed(
            str(welcome.you.id),
            welcome.epoch,
            welcome.seq,
            {str(user.id) for user in welcome.users},
            recovered=resumed.recovered,
            source=resumed.source,
            missed=resumed.missed,
            missed_at_least=resumed.missed_at_least,
        )

    def _thrown_out(self, code: int, now: float) -> None:
        if self.away_since is None:
            self.away_since = now
        if self.is_in:
            self.lost_connection(code, now - self._heard_at)
        if self.stays_away and not self.is_gone:
            self.end_for_good()

    async def _send(self, key: str) -> None:
        while key in self.unacked and not self.is_gone:
            self.sent(key)
            try:
                ack = await self._client.send(key, key=key, ack=self.around.habits.level, timeout=_SEND_SECONDS)
            except (SendTimeoutError, UnconfirmedError) as error:
                self.refused(key, type(error).__name__, is_final=False)
            except (CommandError, EndedError) as error:
                self.refused(key, type(error).__name__, is_final=not self.is_gone)
            else:
                self.answered(key, ack.seq, ack.message_id, ack.level)
