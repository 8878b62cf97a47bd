"""How far one client has read, and which store has its next events: the log in Redis, or Postgres. Pure.

Only committed events are trimmed from the log, so every message is in one of the two stores. Joins and leaves are only
in the log. So messages alone are enough only up to the seq of the roster in the client's welcome, or in a session
without such events.
"""

from collections.abc import Sequence

from broker.sessions.event_log import Event

# Messages alone are enough for any seq.
UNBOUNDED = 2**63 - 1


class OutrunError(Exception):
    """The log no longer holds the client's next event, and messages alone are not enough. The client has to resume."""


class Cursor:
    """The client has every event up to `seq`; up to `messages_until` messages alone are enough."""

    __slots__ = ("_log_first", "_messages_until", "has_more", "seq")

    def __init__(self, seq: int, *, messages_until: int = 0) -> None:
        self.seq = seq
        self.has_more = True  # unknown before the first page
        self._messages_until = messages_until
        self._log_first = 0

    @property
    def history(self) -> tuple[int, int] | None:
        """The exclusive bounds (after, before) to read from Postgres next; None when the log is read next."""
        return (self.seq, self._log_first) if self.seq + 1 < self._log_first else None

    def took_history(self, seqs: Sequence[int], limit: int) -> None:
        """Move past the messages read from Postgres; fewer than `limit` means that none is left below the log."""
        self.seq = seqs[-1] if len(seqs) == limit else self._log_first - 1
        self.has_more = True

    def took_log(self, page: Sequence[Event], limit: int, *, known_seq: int = 0) -> Sequence[Event]:
        """Move past a page of the log, of at most `limit` events after `seq`; returns the events to send now.

        `known_seq` is the highest seq known to exist before the log was read. Raises OutrunError.
        """
        events = _unbroken(page, self.seq)
        self.has_more = len(page) == limit or len(events) < len(page)
        if events:
            self.seq = events[-1].seq
        elif page or known_seq > self.seq:
            self._turn_to_history(page[0].seq if page else known_seq + 1)
        return events

    def _turn_to_history(self, log_first: int) -> None:
        if self.seq >= self._messages_until:
            raise OutrunError
        self._log_first = min(log_first, self._messages_until + 1)
        self.has_more = True


def _unbroken(page: Sequence[Event], seq: int) -> Sequence[Event]:
    """The events of the page that follow `seq` without a hole."""
    for index, event in enumerate(page):
        if event.seq != seq + 1 + index:
            return page[:index]
    return page
