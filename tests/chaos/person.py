"""Somebody in a session: what the person has seen and said, and the writing of it into the ledger."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from random import Random
from typing import Literal

import msgspec

from tests.chaos.ledger import (
    Acked,
    Came,
    CaughtUp,
    Ended,
    Gone,
    Heard,
    Ledger,
    Opened,
    Refused,
    Sent,
    Skipped,
    UserCame,
    UserLeft,
)

_MANY = 1_000_000


class Habits(msgspec.Struct, frozen=True):
    """How the clients of a scenario behave; all times in seconds.

    patience: silence after which a connection counts as dead. ping: silence after which it is asked for a sign of
    life. level: the acknowledgement that is asked for. guests: one in so many uses the Python client that we ship,
    0 for none; the others are written against the protocol's page alone.
    """

    patience: float = 4.0
    ping: float = 1.5
    level: Literal["accepted", "persisted"] = "accepted"
    guests: int = 3


class Surroundings(msgspec.Struct, frozen=True):
    """What persons have in common. `doors` are the ports of the gateways, asked for anew for each connection."""

    ledger: Ledger
    doors: Callable[[], Sequence[int]]
    habits: Habits
    on_hole: Callable[["Person"], None]


class Person(ABC):
    """One user of one session. How it connects is up to the kinds of person: `Visitor` and `Guest`."""

    def __init__(self, number: int, session: str, around: Surroundings, random: Random) -> None:
        self.number = number
        self.session = session
        self.user = ""
        self.epoch = ""
        self.seq = 0
        self.door = 0  # the port of its connection
        self.users: set[str] = set()
        self.has: set[str] = set()
        self.unacked: dict[str, None] = {}
        self.acked: set[str] = set()
        self.hole_from: int | None = None  # what came after this seq has to be fetched over REST
        self.is_in = False
        self.is_gone = False
        self.stays_away = False  # its next end is its last
        self.offline_seconds = 0.0
        self.least_present = _MANY
        self.random = random
        self.around = around
        self.connection = 0
        self.away_since: float | None = None
        self._ledger = around.ledger
        self._missed = 0

    # What a scenario lets it do

    @abstractmethod
    async def run(self) -> None:
        """Be there until it is gone."""

    @abstractmethod
    def say(self, key: str) -> None:
        """Send a message; again and again, until it is acknowledged."""

    @abstractmethod
    def cut(self, offline_seconds: float = 0.0) -> None:
        """The connection breaks; it comes back after so long."""

    def look(self, now: float) -> None:  # noqa: B027 - not every kind has to
        """Called now and then."""

    # What the kinds tell

    def welcomed(
        self,
        user: str,
        epoch: str,
        seq: int,
        users: set[str],
        *,
        recovered: bool,
        source: str,
        missed: int | None,
        missed_at_least: int = 0,
    ) -> None:
        """It is in."""
        now, asked = self._ledger.now(), self.connection > 0
        self.connection += 1
        self.user = user
        if not asked:
            self._ledger.add(Came(now, self.number, self.session, user))
        self._ledger.add(Opened(now, self.number, self.connection, epoch, seq, asked, recovered, source, missed))
        if asked and not recovered:
            self._has_hole(self.seq)
        self.epoch, self.seq, self.users = epoch, seq, users
        self.is_in = True
        self._missed = (missed_at_least if missed is None else missed) if recovered else 0
        if not self._missed and self.hole_from is None:
            self.caught_up()

    def caught_up(self) -> None:
        """It has everything that it missed."""
        if self.away_since is not None and self.connection > 1:
            seconds = asyncio.get_running_loop().time() - self.away_since
            self._ledger.add(CaughtUp(self._ledger.now(), self.number, self.connection, round(seconds, 4)))
        self.away_since = None

    def heard(self, seq: int, message_id: str, key: str) -> None:
        """A message came."""
        self.has.add(message_id)
        self._ledger.add(Heard(self._now(), self.number, self.connection, seq, message_id, key))
        self._moved_on(seq)

    def came(self, seq: int, user: str) -> None:
        """`user_joined` came."""
        self.users.add(user)
        self._ledger.add(UserCame(self._now(), self.number, self.connection, seq, user))
        self._moved_on(seq)

    def left(self, seq: int, user: str, reason: str) -> None:
        """`user_left` came."""
        self.users.discard(user)
        self._ledger.add(UserLeft(self._now(), self.number, self.connection, seq, user, reason))
        self._moved_on(seq)

    def skipped(self, first: int, last: int) -> None:
        """`gap` came."""
        self._ledger.add(Skipped(self._now(), self.number, self.connection, first, last))
        self._has_hole(first - 1)

    def counted(self, user_count: int) -> None:
        """`presence_changed` came."""
        self.least_present = min(self.least_present, user_count)

    def sent(self, key: str) -> None:
        """A message is sent, for the first time or again."""
        self._ledger.add(Sent(self._ledger.now(), self.number, key))

    def answered(self, key: str, seq: int, message_id: str, level: str) -> None:
        """A message was acknowledged."""
        self.unacked.pop(key, None)
        self.acked.add(key)
        self._ledger.add(Acked(self._ledger.now(), self.number, key, seq, message_id, level))

    def refused(self, key: str, code: str, *, is_final: bool) -> None:
        """A message was refused; when that is final it will not be sent again."""
        if is_final:
            self.unacked.pop(key, None)
        self._ledger.add(Refused(self._ledger.now(), self.number, key, code, is_final))

    def lost_connection(self, code: int, quiet_seconds: float) -> None:
        """The connection of somebody who was in is over."""
        self.is_in = False
        self._ledger.add(Ended(self._ledger.now(), self.number, self.connection, code, round(quiet_seconds, 3)))

    def end_for_good(self) -> None:
        """It does not come back."""
        self.is_gone = True
        self._ledger.add(Gone(self._ledger.now(), self.number))

    def _has_hole(self, after: int) -> None:
        self.hole_from = after if self.hole_from is None else min(self.hole_from, after)
        self.around.on_hole(self)

    def _moved_on(self, seq: int) -> None:
        self.seq = seq
        if self._missed:
            self._missed -= 1
            if not self._missed:
                self.caught_up()

    def _now(self) -> float:
        return round(self._ledger.now(), 3)
