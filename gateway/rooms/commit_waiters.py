"""The callbacks that wait until events of a session are committed in Postgres. Pure; each room owns one object."""

import heapq
from collections import deque
from collections.abc import Iterable
from itertools import count
from operator import itemgetter

from broker.sessions.epochs import SEQ_LEAP
from gateway.rooms.effects import CommitCallback, CommitOutcome, Tell

# The worker announces a refusal once. A publisher that asks only later finds the refusal among the last ones kept.
REFUSED_KEPT = 256


class CommitWaiters:
    """The persisted watermark of one session, as last announced to this gateway, and the callbacks that wait for it.

    A watermark that is SEQ_LEAP (a million) or more above a seq belongs to a later epoch: it does not show whether
    Postgres has that event, because Redis may have lost the event before.

    After an interruption the watermark alone shows nothing either: news of a refusal may be lost, and the seqs may have
    been given to other events. While `is_in_doubt`, nobody is told of a commit.
    """

    __slots__ = ("_order", "_refused", "_waiting", "is_in_doubt", "persisted")

    def __init__(self) -> None:
        self.persisted = 0
        self.is_in_doubt = False
        self._order = count()
        self._waiting: list[tuple[int, int, CommitCallback]] = []
        self._refused: deque[int] = deque(maxlen=REFUSED_KEPT)

    @property
    def seqs(self) -> tuple[int, ...]:
        """The seqs that callbacks wait for."""
        return tuple(sorted({seq for seq, _, _ in self._waiting}))

    def wait(self, seq: int, callback: CommitCallback) -> list[Tell]:
        """Call `callback` once the outcome of event `seq` is known; at once, when the outcome is known already."""
        if seq in self._refused:
            return [Tell(callback, CommitOutcome.REFUSED)]
        if seq <= self.persisted and not self.is_in_doubt:
            return [Tell(callback, self._outcome(seq))]
        heapq.heappush(self._waiting, (seq, next(self._order), callback))
        return []

    def committed(self, seq: int) -> list[Tell]:
        """Every event up to `seq` is committed, except the refused ones."""
        self.persisted = max(self.persisted, seq)
        told: list[Tell] = []
        while not self.is_in_doubt and self._waiting and self._waiting[0][0] <= self.persisted:
            waiting, _, callback = heapq.heappop(self._waiting)
            told.append(Tell(callback, self._outcome(waiting)))
        return told

    def refused(self, seq: int) -> list[Tell]:
        """Postgres refused event `seq` for good."""
        self._refused.append(seq)
        told = [Tell(callback, CommitOutcome.REFUSED) for waiting, _, callback in self._waiting if waiting == seq]
        self._waiting = [entry for entry in self._waiting if entry[0] != seq]
        heapq.heapify(self._waiting)
        return told

    def doubt(self) -> None:
        """News may be lost: tell nobody of a commit until `settle` or `lose`."""
        self.is_in_doubt = True

    def settle(self, seq: int, refused: Iterable[int]) -> list[Tell]:
        """The doubt is over: every event up to `seq` is committed, except those of `refused` and the ones known so."""
        told = [tell for one in refused for tell in self.refused(one)]
        self.is_in_doubt = False
        return told + self.committed(seq)

    def lose(self) -> list[Tell]:
        """The events may be lost: tell everybody that the outcome is unknown."""
        told = [Tell(callback, CommitOutcome.UNKNOWN) for _, _, callback in sorted(self._waiting, key=itemgetter(0, 1))]
        self._waiting.clear()
        self.is_in_doubt = False
        return told

    def _outcome(self, seq: int) -> CommitOutcome:
        """The outcome of event `seq`, which the watermark has reached."""
        return CommitOutcome.COMMITTED if seq > self.persisted - SEQ_LEAP else CommitOutcome.UNKNOWN
