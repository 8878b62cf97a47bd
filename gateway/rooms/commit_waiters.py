"""The callbacks that wait until events of a session are committed in Postgres. Pure; each room owns one object."""

import heapq
from collections import deque
from itertools import count

from broker.sessions.epochs import SEQ_LEAP
from gateway.rooms.effects import CommitCallback, CommitOutcome, Tell

# The worker announces a refusal once. A publisher that asks only later finds the refusal among the last ones kept.
REFUSED_KEPT = 256


class CommitWaiters:
    """The persisted watermark of one session, as last announced to this gateway, and the callbacks that wait for it.

    A watermark that is SEQ_LEAP (a million) or more above a seq belongs to a later epoch: it does not show whether
    Postgres has that event, because Redis may have lost the event before.
    """

    __slots__ = ("_order", "_refused", "_waiting", "persisted")

    def __init__(self) -> None:
        self.persisted = 0
        self._order = count()
        self._waiting: list[tuple[int, int, CommitCallback]] = []
        self._refused: deque[int] = deque(maxlen=REFUSED_KEPT)

    @property
    def is_awaited(self) -> bool:
        """Whether any callback waits."""
        return bool(self._waiting)

    def wait(self, seq: int, callback: CommitCallback) -> list[Tell]:
        """Call `callback` once the outcome of event `seq` is known; at once, when the outcome is known already."""
        if seq in self._refused:
            return [Tell(callback, CommitOutcome.REFUSED)]
        if seq <= self.persisted:
            return [Tell(callback, self._outcome(seq))]
        heapq.heappush(self._waiting, (seq, next(self._order), callback))
        return []

    def committed(self, seq: int) -> list[Tell]:
        """Every event up to `seq` is committed, except the refused ones."""
        self.persisted = max(self.persisted, seq)
        told = []
        while self._waiting and self._waiting[0][0] <= self.persisted:
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

    def _outcome(self, seq: int) -> CommitOutcome:
        """The outcome of event `seq`, which the watermark has reached."""
        return CommitOutcome.COMMITTED if seq > self.persisted - SEQ_LEAP else CommitOutcome.UNKNOWN
