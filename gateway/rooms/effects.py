"""Effects: what a room returns, for the room driver to carry out in order. Pure data."""

from collections.abc import Callable, Collection, Sequence
from enum import Enum

import msgspec

from gateway.protocol.close_codes import Ending
from gateway.rooms.member import Member


class Step(Enum):
    """The kind of request to Redis that failed and has to be repeated; `failed` gets it."""

    LOG = "log"
    COMMITS = "commits"
    SEATS = "seats"


class CommitOutcome(Enum):
    """Whether a message is committed in Postgres."""

    COMMITTED = "committed"
    REFUSED = "refused"
    """Postgres refused the message for good."""
    UNKNOWN = "unknown"
    """Redis lost data, or could not be asked: the outcome can't be known."""


CommitCallback = Callable[[CommitOutcome], None]


class ScheduleFlush(msgspec.Struct, frozen=True, gc=False):
    """The outbox is no longer empty: flush at the end of this read, else in the next turn of the event loop."""


class Write(msgspec.Struct, frozen=True, gc=False):
    """Send these frames to each of the members.

    For the metrics: `events` is how many events the frames hold, `new_events` how many of these no earlier write held.
    """

    members: Collection[Member]
    data: bytes
    events: int = 0
    new_events: int = 0


class Answer(msgspec.Struct, frozen=True, gc=False):
    """Send the frames of an answer to a member that gets no live events now."""

    member: Member
    data: bytes


class End(msgspec.Struct, frozen=True, gc=False):
    """End each of these members, which the room has removed already."""

    members: tuple[Member, ...]
    ending: Ending


class ReadLog(msgspec.Struct, frozen=True, gc=False):
    """Read the log from event `first` on, then the position; call `log_read` or `failed`."""

    first: int


class Fence(msgspec.Struct, frozen=True, gc=False):
    """Fence the session into a new epoch; call `fenced` or `failed`."""

    epoch: str
    seen: int
    is_rewritten: bool


class ReadCommits(msgspec.Struct, frozen=True, gc=False):
    """Read the watermark, and which of these seqs Postgres refused; call `commits_read` or `failed(Step.COMMITS)`."""

    seqs: tuple[int, ...]


class ReadSeats(msgspec.Struct, frozen=True, gc=False):
    """Read which connections hold the seats of these members; call `seats_read` or `failed`."""

    members: tuple[Member, ...]


class RetryLater(msgspec.Struct, frozen=True, gc=False):
    """Call `tick` with this step after the retry delay."""

    step: Step


class AnnouncePresence(msgspec.Struct, frozen=True, gc=False):
    """Call `presence_due` after the presence interval."""


class ReportGap(msgspec.Struct, frozen=True, gc=False):
    """The log no longer holds the events `first` to `last`: count and log them."""

    first: int
    last: int


class Tell(msgspec.Struct, frozen=True, gc=False):
    """Call a commit waiter with the outcome."""

    callback: CommitCallback
    outcome: CommitOutcome


Effect = (
    ScheduleFlush
    | Write
    | Answer
    | End
    | ReadLog
    | Fence
    | ReadCommits
    | ReadSeats
    | RetryLater
    | AnnouncePresence
    | ReportGap
    | Tell
)
Effects = Sequence[Effect]

SCHEDULE_FLUSH = ScheduleFlush()
