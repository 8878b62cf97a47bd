"""What happened in one scenario: a compact JSON array for each thing, in a file, in the order in which it was seen."""

from collections.abc import Callable, Iterable
from io import BufferedWriter
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

FILE: Final = "ledger.jsonl"


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """`at` is in seconds since the scenario began. `client` numbers the clients, `connection` those of one client."""

    at: float


class Head(Entry, frozen=True, tag="head"):
    """What was run. A user who was away for less than `kept_seconds` must keep the seat unseen."""

    scenario: str
    seed: int
    is_short: bool
    kept_seconds: float


class Came(Entry, frozen=True, tag="came"):
    """A client got its seat for the first time."""

    client: int
    session: str
    user: str


class Opened(Entry, frozen=True, tag="open"):
    """A welcome. `asked` tells whether the client wanted to resume, `missed` how many events it was promised.

    None: too many to count.
    """

    client: int
    connection: int
    epoch: str
    seq: int
    asked: bool
    recovered: bool
    source: str
    missed: int | None


class Heard(Entry, frozen=True, tag="msg"):
    """A message came; `key` is its text."""

    client: int
    connection: int
    seq: int
    id: str
    key: str


class UserCame(Entry, frozen=True, tag="in"):
    """`user_joined` came."""

    client: int
    connection: int
    seq: int
    user: str


class UserLeft(Entry, frozen=True, tag="out"):
    """`user_left` came."""

    client: int
    connection: int
    seq: int
    user: str
    reason: str


class Skipped(Entry, frozen=True, tag="gap"):
    """The gateway announced that it can't deliver these; the client fetches them over REST."""

    client: int
    connection: int
    first: int
    last: int


class Fetched(Entry, frozen=True, tag="hist"):
    """A message that the client took from the history and did not have yet: it is merged with what was heard."""

    client: int
    seq: int
    id: str
    key: str


class CaughtUp(Entry, frozen=True, tag="back"):
    """A client that was away has everything it missed, so many seconds after it began to reconnect."""

    client: int
    connection: int
    seconds: float


class Ended(Entry, frozen=True, tag="end"):
    """A connection is over; the last byte came `quiet` seconds before. Code 0: there was no close frame."""

    client: int
    connection: int
    code: int
    quiet: float


class Gone(Entry, frozen=True, tag="gone"):
    """The client is gone and does not come back."""

    client: int


class Severed(Entry, frozen=True, tag="cut off"):
    """The gateway that the client was on was cut off from Redis for so long: beyond its lease it counts as dead."""

    client: int
    seconds: float


class Sent(Entry, frozen=True, tag="sent"):
    """A message was sent, for the first time or again."""

    client: int
    key: str


class Acked(Entry, frozen=True, tag="ack"):
    """A message was acknowledged."""

    client: int
    key: str
    seq: int
    id: str
    level: str


class Refused(Entry, frozen=True, tag="no"):
    """A message was refused; one that is `final` will not be sent again."""

    client: int
    key: str
    code: str
    final: bool


class Row(Entry, frozen=True, tag="row"):
    """A row of the table `messages`, at the end."""

    session: str
    seq: int
    id: str
    key: str


class Roster(Entry, frozen=True, tag="users"):
    """Who is present at the end, as a gateway tells it, or as a client has it from what it was sent."""

    session: str
    seen_by: str
    users: list[str]


class Barred(Entry, frozen=True, tag="barred"):
    """From now on the user is removed from the session, for good; without a user, the session is closed."""

    session: str
    user: str


class Tried(Entry, frozen=True, tag="tried"):
    """Somebody came back to a session, and the gateway answered: `said` is `welcome`, or the code of the error."""

    session: str
    user: str
    seen_by: str
    is_admitted: bool
    said: str


class Fault(Entry, frozen=True, tag="fault"):
    """Something was done to a process or a connection; `until` is when it was undone, or the same as `at`."""

    what: str
    target: str
    until: float


class Measure(Entry, frozen=True, tag="is"):
    """Something that was measured on the way."""

    name: str
    value: float


class Demand(Entry, frozen=True, tag="must"):
    """A measure, or one of the checker's own, has to lie in these bounds."""

    name: str
    least: float
    most: float


AnyEntry: TypeAlias = (
    Head
    | Came
    | Opened
    | Heard
    | UserCame
    | UserLeft
    | Skipped
    | Fetched
    | CaughtUp
    | Ended
    | Gone
    | Severed
    | Sent
    | Acked
    | Refused
    | Row
    | Roster
    | Barred
    | Tried
    | Fault
    | Measure
    | Demand
)
_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(AnyEntry)


class Ledger:
    """Takes entries and appends them to the file. `now` is the scenario's clock."""

    def __init__(self, folder: Path, now: Callable[[], float]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.now = now
        self._file: BufferedWriter = (folder / FILE).open("wb")

    def add(self, entry: AnyEntry) -> None:
        """Append one entry."""
        self._file.write(_ENCODER.encode(entry) + b"\n")

    def close(self) -> None:
        """Everything is in the file now."""
        self._file.close()


def read(folder: Path) -> Iterable[AnyEntry]:
    """The entries of a ledger, in order. Raises msgspec.ValidationError for a file that is none."""
    with (folder / FILE).open("rb") as lines:
        for line in lines:
            yield _DECODER.decode(line)
