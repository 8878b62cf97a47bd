"""Who waits for which event of a session to be committed in Postgres. Synchronous; a room owns one."""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from itertools import count

from broker.sessions.epochs import SEQ_LEAP

# Refusals are told once; a publisher whose own answer is still under way looks here.
REFUSED_KEPT = 256

# Told True when the event is committed, False when it never will be, None when nobody can tell any more: Redis lost its
# newest data, and the watermark of that time with it.
Tell = Callable[[bool | None], None]


class CommitWaiters:
    """The persisted watermark of one session, as far as it was told here, and the waiting.

    A watermark that lies a million above a seq is of a later epoch, and says nothing about an event that Redis lost.
    """

    __slots__ = ("_order", "_refused", "_waiting", "persisted")

    def __init__(self) -> None:
        self.persisted = 0
        self._order = count()
        self._waiting: list[tuple[int, int, Tell]] = []
        self._refused: deque[int] = deque(maxlen=REFUSED_KEPT)

    @property
    def is_awaited(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waiting)

    def wait(self, seq: int, tell: Tell) -> None:
        """Call `tell` once it is known whether `seq` is committed; at once if it is already."""
        if seq in self._refused:
            tell(False)
        elif seq <= self.persisted - SEQ_LEAP:
            tell(None)
        elif seq <= self.persisted:
            tell(True)
        else:
            heapq.heappush(self._waiting, (seq, next(self._order), tell))

    async def reached(self, seq: int) -> bool | None:
        """What `Tell` is told about `seq`, once it is."""
        outcome: asyncio.Future[bool | None] = asyncio.get_running_loop().create_future()

        def tell(is_committed: bool | None) -> None:
            if not outcome.done():
                outcome.set_result(is_committed)

        self.wait(seq, tell)
        return await outcome

    def committed(self, seq: int) -> None:
        """Everything up to `seq` is committed, but for what was refused."""
        self.persisted = max(self.persisted, seq)
        while self._waiting and self._waiting[0][0] <= self.persisted:
            waiting, _, tell = heapq.heappop(self._waiting)
            tell(True if waiting > self.persisted - SEQ_LEAP else None)

    def refused(self, seq: int) -> None:
        """The event can't be written."""
        self._refused.append(seq)
        hit = [tell for waiting, _, tell in self._waiting if waiting == seq]
        self._waiting = [entry for entry in self._waiting if entry[0] != seq]
        heapq.heapify(self._waiting)
        for tell in hit:
            tell(False)
