"""How far one client has read, and which store has what comes next: the log in Redis, or Postgres the messages. Pure.

The log is trimmed only below what is committed, so every message is in one of the two. Joins and leaves are in the log
alone: the messages will do only as far as the roster of the client's welcome is newer, or where no such events are.
"""

from collections.abc import Sequence

from broker.sessions.event_log import Event

# Messages will do however far the log is ahead.
UNBOUNDED = 2**63 - 1


class OutrunError(Exception):
    """The log no longer holds the client's next event, and messages will not do: resume with a new welcome."""


class Cursor:
    """The client has everything up to `seq`; `messages_until` is the last seq up to which messages will do."""

    __slots__ = ("_log_first", "_messages_until", "has_more", "seq")

    def __init__(self, seq: int, *, messages_until: int = 0) -> None:
        self.seq = seq
        self.has_more = True  # as far as is known
        self._messages_until = messages_until
        self._log_first = 0

    @property
    def history(self) -> tuple[int, int] | None:
        """The bounds, both exclusive, between which Postgres is to be read next; None when it is the log's turn."""
        return (self.seq, self._log_first) if self.seq + 1 < self._log_first else None

    def took_history(self, seqs: Sequence[int], limit: int) -> None:
        """Postgres gave these, `limit` at most: with fewer of them, nothing is left below the log."""
        self.seq = seqs[-1] if len(seqs) == limit else self._log_first - 1
        self.has_more = True

    def took_log(self, page: Sequence[Event], limit: int, *, known_seq: int = 0) -> Sequence[Event]:
        """The log gave this page of events after `seq`, `limit` at most; returns those to send now.

        `known_seq` was given to an event before the log was read. Raises OutrunError.
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
