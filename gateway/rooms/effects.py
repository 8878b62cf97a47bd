"""What a room decides, for the room driver to carry out in order. Pure data."""

from collections.abc import Callable, Collection, Sequence
from enum import Enum

import msgspec

from gateway.protocol.close_codes import Ending
from gateway.rooms.member import Member


class Step(Enum):
    """What could not be asked of Redis, and is to be asked again."""

    LOG = "log"
    COMMITS = "commits"
    SEATS = "seats"


class CommitOutcome(Enum):
    """What became of a message that somebody waits for."""

    COMMITTED = "committed"
    REFUSED = "refused"
    """Postgres refused the message for good."""
    UNKNOWN = "unknown"
    """Redis lost its newest data, and with it the watermark of that time: nobody can tell."""


CommitCallback = Callable[[CommitOutcome], None]


class ScheduleFlush(msgspec.Struct, frozen=True, gc=False):
    """Something is queued: flush the room at the end of this read, or soon."""


class Write(msgspec.Struct, frozen=True, gc=False):
    """Send these frames to each of the members."""

    members: Collection[Member]
    data: bytes


class Answer(msgspec.Struct, frozen=True, gc=False):
    """Send the frames of an answer to a member that lacks events."""

    member: Member
    data: bytes


class Count(msgspec.Struct, frozen=True, gc=False):
    """So much was delivered by the writes before this effect."""

    events: int
    deliveries: int
    delivered_bytes: int


class End(msgspec.Struct, frozen=True, gc=False):
    """These members are gone: end each."""

    members: tuple[Member, ...]
    ending: Ending


class ReadLog(msgspec.Struct, frozen=True, gc=False):
    """Read the log from event `first` on, and then the position; answer with `log_read` or `failed(Step.LOG)`."""

    first: int


class Fence(msgspec.Struct, frozen=True, gc=False):
    """Give the session another epoch; answer with `fenced` or `failed(Step.LOG)`."""

    epoch: str
    seen: int
    is_rewritten: bool


class ReadPosition(msgspec.Struct, frozen=True, gc=False):
    """Read the position for those who wait for commits; answer with `position_read` or `failed(Step.COMMITS)`."""


class ReadSeats(msgspec.Struct, frozen=True, gc=False):
    """Read who holds the seats of these members; answer with `seats_read` or `failed(Step.SEATS)`."""

    members: tuple[Member, ...]


class RetryLater(msgspec.Struct, frozen=True, gc=False):
    """Call `tick` with this step after the retry delay."""

    step: Step


class AnnouncePresence(msgspec.Struct, frozen=True, gc=False):
    """Call `presence_due` after the presence interval."""


class ReportGap(msgspec.Struct, frozen=True, gc=False):
    """Events `first` to `last` can't be had here: count and log them."""

    first: int
    last: int


class Tell(msgspec.Struct, frozen=True, gc=False):
    """Call back who waited for a commit."""

    callback: CommitCallback
    outcome: CommitOutcome


Effect = (
    ScheduleFlush
    | Write
    | Answer
    | Count
    | End
    | ReadLog
    | Fence
    | ReadPosition
    | ReadSeats
    | RetryLater
    | AnnouncePresence
    | ReportGap
    | Tell
)
Effects = Sequence[Effect]

SCHEDULE_FLUSH = ScheduleFlush()
