"""Who waits for which event of a session to be committed in Postgres. Pure; a room owns one."""

import heapq
from collections import deque
from itertools import count

from broker.sessions.epochs import SEQ_LEAP
from gateway.rooms.effects import CommitCallback, CommitOutcome, Tell

# Refusals are told once; a publisher whose own answer is still under way looks here.
REFUSED_KEPT = 256


class CommitWaiters:
    """The persisted watermark of one session, as far as it was told here, and who waits.

    A watermark that lies a million above a seq is of a later epoch, and says nothing about an event that Redis lost.
    """

    __slots__ = ("_order", "_refused", "_waiting", "persisted")

    def __init__(self) -> None:
        self.persisted = 0
        self._order = count()
        self._waiting: list[tuple[int, int, CommitCallback]] = []
        self._refused: deque[int] = deque(maxlen=REFUSED_KEPT)

    @property
    def is_awaited(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waiting)

    def wait(self, seq: int, callback: CommitCallback) -> list[Tell]:
        """Call back once it is known whether `seq` is committed: at once, when it is known already."""
        if seq in self._refused:
            return [Tell(callback, CommitOutcome.REFUSED)]
        if seq <= self.persisted:
            return [Tell(callback, self._outcome(seq))]
        heapq.heappush(self._waiting, (seq, next(self._order), callback))
        return []

    def committed(self, seq: int) -> list[Tell]:
        """Everything up to `seq` is committed, but for what was refused."""
        self.persisted = max(self.persisted, seq)
        told = []
        while self._waiting and self._waiting[0][0] <= self.persisted:
            waiting, _, callback = heapq.heappop(self._waiting)
            told.append(Tell(callback, self._outcome(waiting)))
        return told

    def refused(self, seq: int) -> list[Tell]:
        """The event can't be written."""
        self._refused.append(seq)
        told = [Tell(callback, CommitOutcome.REFUSED) for waiting, _, callback in self._waiting if waiting == seq]
        self._waiting = [entry for entry in self._waiting if entry[0] != seq]
        heapq.heapify(self._waiting)
        return told

    def _outcome(self, seq: int) -> CommitOutcome:
        """What a watermark that has reached `seq` says about it."""
        return CommitOutcome.COMMITTED if seq > self.persisted - SEQ_LEAP else CommitOutcome.UNKNOWN
