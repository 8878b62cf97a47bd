"""Checks what clients were sent: everything acknowledged, once each, in the same order for all, no silent hole."""

from collections import Counter

from tests.chaos.books import Books, Client, Line
from tests.chaos.ledger import Acked, Skipped
from tests.chaos.verdict import Problems


def check(books: Books, problems: Problems) -> None:
    """Check every client alone, and all of a session together."""
    for number, client in books.clients.items():
        seen: set[int] = set()
        for line in client.lines.values():
            _check_resumption(number, line, seen, problems)
            _check_line(number, line, seen, problems)
        _check_duplicates(number, client, problems)
        if not books.has_lost_data:
            _check_repetitions(number, client, problems)
    for session in books.sessions:
        _check_agreement(books, session, problems)
        _check_completeness(books, session, problems)
    _check_phantoms(books, problems)


def measures(books: Books) -> dict[str, float]:
    """The share of what should have come to clients that did come."""
    wanted = missing = 0
    for session in books.sessions:
        acked = _acked_in(books, session)
        for client in books.of(session):
            wanted += len(_due(client, acked))
            missing += len(_missing(client, acked))
    return {"delivered_share": 1 - missing / wanted} if wanted else {}


def _check_resumption(number: int, line: Line, seen: set[int], problems: Problems) -> None:
    opened = line.opened
    if opened.asked and opened.recovered and seen and opened.seq < max(seen):
        problems.add("reordered", f"client {number}.{opened.connection} resumed at {opened.seq}, before what it has")


def _check_line(number: int, line: Line, seen: set[int], problems: Problems) -> None:
    """Within a connection `seq` rises by 1, but over what was announced as a gap, and between pages of history."""
    opened = line.opened
    last, skipped_to, replayed = opened.seq, 0, 0
    for event in line.events:
        if isinstance(event, Skipped):
            skipped_to = max(skipped_to, event.last)
            continue
        where = f"client {number}.{opened.connection}"
        if event.seq in seen:
            problems.add("duplicated", f"{where} got {event.seq} again")
        elif event.seq <= last:
            problems.add("reordered", f"{where} got {event.seq} after {last}")
        elif event.seq != max(last, skipped_to) + 1 and not (
            opened.source == "history" and (opened.missed is None or replayed <= opened.missed)
        ):
            problems.add("lost", f"{where} got {event.seq} after {last}, and nothing said why")
        seen.add(event.seq)
        last = max(last, event.seq)
        replayed += 1


def _check_duplicates(number: int, client: Client, problems: Problems) -> None:
    """The same seq twice was found already; here the same message under several."""
    for message_id, count in Counter(message_id for message_id, _ in {(e.id, e.seq) for e in client.heard}).items():
        if count > 1:
            problems.add("duplicated", f"client {number} got the message {message_id} {count} times", count - 1)


def _check_repetitions(number: int, client: Client, problems: Problems) -> None:
    """A message that was sent again with its key is one message."""
    for key, count in Counter(key for key, _ in {(event.key, event.id) for event in client.heard}).items():
        if count > 1:
            problems.add("duplicated", f"client {number} got {key} under {count} ids", count - 1)


def _check_agreement(books: Books, session: str, problems: Problems) -> None:
    """Clients, history, acknowledgements and rows have the same message at a seq."""
    told: dict[int, str] = {}
    disagreed: set[int] = set()
    for client in books.of(session):
        for event in client.messages:
            if told.setdefault(event.seq, event.id) != event.id:
                disagreed.add(event.seq)
    for acked in books.acked:
        if books.session_of(acked.client) == session and told.setdefault(acked.seq, acked.id) != acked.id:
            disagreed.add(acked.seq)
    for row in books.rows:
        if row.session == session and told.setdefault(row.seq, row.id) != row.id:
            disagreed.add(row.seq)
    for seq in sorted(disagreed):
        problems.add("reordered", f"the seq {seq} stands for several messages")


def _check_completeness(books: Books, session: str, problems: Problems) -> None:
    """Every acknowledged message came to everyone who was there, was away for a while, or came back."""
    acked = _acked_in(books, session)
    for client in books.of(session):
        missing = _missing(client, acked)
        if missing:
            some = ", ".join(f"{entry.key} ({entry.seq})" for entry in missing[:3])
            problems.add("lost", f"client {client.came.client} never got {len(missing)}: {some}", len(missing))


def _acked_in(books: Books, session: str) -> list[Acked]:
    """One acknowledgement of each message of the session."""
    return list({entry.id: entry for entry in books.acked if books.session_of(entry.client) == session}.values())


def _due(client: Client, acked: list[Acked]) -> list[Acked]:
    """What a client has to have: everything after it came; of one that is gone, nothing after the last it got."""
    first = client.first_seq
    last = None if client.gone is None else max((event.seq for event in client.heard), default=0)
    return [entry for entry in acked if entry.seq > first and (last is None or entry.seq <= last)]


def _missing(client: Client, acked: list[Acked]) -> list[Acked]:
    has = {event.id for event in client.messages}
    return [entry for entry in _due(client, acked) if entry.id not in has]


def _check_phantoms(books: Books, problems: Problems) -> None:
    """Every delivered message was sent by a user and is stored, so that the history shows the same."""
    stored = {row.id for row in books.rows}
    for message_id, key in {(event.id, event.key) for client in books.clients.values() for event in client.heard}:
        if key not in books.sent:
            problems.add("phantom", f"{key!r} was delivered and never sent")
        elif message_id not in stored and not books.has_lost_data:
            problems.add("phantom", f"{key} was delivered and never stored")
