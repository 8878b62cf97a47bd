"""A ledger sorted for the checker: by session, by client, by connection."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.chaos.ledger import (
    Acked,
    Barred,
    Came,
    CaughtUp,
    Demand,
    Ended,
    Entry,
    Fault,
    Fetched,
    Gone,
    Head,
    Heard,
    Measure,
    Opened,
    Refused,
    Roster,
    Row,
    Sent,
    Severed,
    Skipped,
    Tried,
    UserCame,
    UserLeft,
)


@dataclass
class Line:
    """One connection of a client: its welcome, what came in the order in which it came, its end."""

    opened: Opened
    events: list[Heard | UserCame | UserLeft | Skipped] = field(default_factory=list)
    ended: Ended | None = None


@dataclass
class Client:
    """One client over all its connections."""

    came: Came
    lines: dict[int, Line] = field(default_factory=dict)
    fetched: list[Fetched] = field(default_factory=list)
    gone: Gone | None = None
    severed: list[Severed] = field(default_factory=list)

    @property
    def first_seq(self) -> int:
        """What comes after this seq is for this client."""
        return min(line.opened.seq for line in list(self.lines.values())[:1])

    @property
    def heard(self) -> list[Heard]:
        """Every message that came over a connection."""
        return [event for line in self.lines.values() for event in line.events if isinstance(event, Heard)]

    @property
    def messages(self) -> list[Heard | Fetched]:
        """The same, merged with what was taken from the history."""
        return [*self.heard, *self.fetched]


@dataclass
class Books:
    """Everything that a ledger holds."""

    head: Head
    clients: dict[int, Client] = field(default_factory=dict)
    sent: dict[str, Sent] = field(default_factory=dict)
    """By key; the first time of each."""
    acked: list[Acked] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    rosters: list[Roster] = field(default_factory=list)
    barred: list[Barred] = field(default_factory=list)
    tried: list[Tried] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    caught_up: list[CaughtUp] = field(default_factory=list)
    measures: dict[str, float] = field(default_factory=dict)
    demands: list[Demand] = field(default_factory=list)

    @property
    def has_lost_data(self) -> bool:
        """Whether Redis was made to forget what it had been given."""
        return any(fault.what == "lose data" for fault in self.faults)

    @property
    def sessions(self) -> list[str]:
        """Every session that somebody was in."""
        return list(dict.fromkeys(client.came.session for client in self.clients.values()))

    def of(self, session: str) -> list[Client]:
        """The clients of a session."""
        return [client for client in self.clients.values() if client.came.session == session]

    def session_of(self, client: int) -> str:
        """Where a client is."""
        return self.clients[client].came.session


def sort(entries: Iterable[Entry]) -> Books:
    """The books of a ledger, whose first entry is its head."""
    entries = iter(entries)
    head = next(entries)
    assert isinstance(head, Head), "a ledger begins with its head"
    books = Books(head)
    for entry in entries:
        _put(books, entry)
    return books


def _put(books: Books, entry: Entry) -> None:  # noqa: C901, PLR0912 - one line for each kind
    match entry:
        case Came(client=client):
            books.clients[client] = Client(entry)
        case Opened(client=client, connection=connection):
            books.clients[client].lines[connection] = Line(entry)
        case Heard() | UserCame() | UserLeft() | Skipped():
            books.clients[entry.client].lines[entry.connection].events.append(entry)
        case Ended(client=client, connection=connection):
            books.clients[client].lines[connection].ended = entry
        case Fetched(client=client):
            books.clients[client].fetched.append(entry)
        case Gone(client=client):
            books.clients[client].gone = entry
        case Severed(client=client):
            books.clients[client].severed.append(entry)
        case Sent(key=key):
            books.sent.setdefault(key, entry)
        case Acked():
            books.acked.append(entry)
        case Refused():
            books.refused.append(entry)
        case Row():
            books.rows.append(entry)
        case Roster():
            books.rosters.append(entry)
        case Barred():
            books.barred.append(entry)
        case Tried():
            books.tried.append(entry)
        case Fault():
            books.faults.append(entry)
        case CaughtUp():
            books.caught_up.append(entry)
        case Measure(name=name, value=value):
            books.measures[name] = value
        case Demand():
            books.demands.append(entry)
        case _:
            raise AssertionError("a ledger has one head")
