"""Checks what Postgres has: every acknowledged message exactly once, at its seq, and nothing that was never sent."""

from collections import Counter

from tests.chaos.books import Books
from tests.chaos.verdict import Problems


def check(books: Books, problems: Problems) -> None:
    """Compare the acknowledgements with one another and with the rows."""
    _check_acknowledgements(books, problems)
    _check_acknowledged_rows(books, problems)
    _check_all_rows(books, problems)


def measures(books: Books) -> dict[str, float]:
    """How long senders waited for an acknowledgement at most, and after a fault had ended, in seconds."""
    if not books.acked:
        return {}
    waits = [acked.at - books.sent[acked.key].at for acked in books.acked if acked.key in books.sent]
    after = [
        min((acked.at for acked in books.acked if acked.at >= fault.until), default=fault.until) - fault.until
        for fault in books.faults
        if fault.until > fault.at
    ]
    return {
        **_measures_of_loss(books),
        "acknowledged_most": max(waits, default=0),
        **({"in_service_after": max(after)} if after else {}),
    }


def _measures_of_loss(books: Books) -> dict[str, float]:
    """How many messages are stored twice, after Redis lost the keys by which it knows a repetition."""
    if not books.has_lost_data:
        return {}
    return {"stored_again": float(len(books.rows) - len({row.key for row in books.rows}))}


def _check_acknowledgements(books: Books, problems: Problems) -> None:
    """A message that was sent again with its key has one seq and one id, whichever time was answered."""
    first: dict[str, tuple[int, str]] = {}
    for acked in books.acked:
        given = (acked.seq, acked.id)
        if acked.key not in books.sent:
            problems.add("phantom", f"{acked.key} was acknowledged and never sent")
        if first.setdefault(acked.key, given) != given and not books.has_lost_data:
            problems.add("duplicated", f"{acked.key} was acknowledged as {first[acked.key]} and as {given}")


def _check_acknowledged_rows(books: Books, problems: Problems) -> None:
    rows: dict[tuple[str, str], list[int]] = {}
    for row in books.rows:
        rows.setdefault((row.session, row.id), []).append(row.seq)
    for session, message_id, seq, key in {
        (books.session_of(acked.client), acked.id, acked.seq, acked.key) for acked in books.acked
    }:
        found = rows.get((session, message_id), [])
        if not found:
            problems.add("lost", f"{key}, acknowledged as {seq}, has no row")
        elif found != [seq]:
            problems.add("reordered", f"{key}, acknowledged as {seq}, has the rows {found}")


def _check_all_rows(books: Books, problems: Problems) -> None:
    given_up = {entry.key for entry in books.refused if entry.final}
    answered = {entry.key for entry in books.acked} | given_up
    for key, sent in books.sent.items():
        if key not in answered and books.clients[sent.client].gone is None:
            problems.add("lost", f"{key} was never acknowledged")
    for row in books.rows:
        if row.key not in books.sent:
            problems.add("phantom", f"the row {row.seq} holds {row.key!r}, which was never sent")
    if books.has_lost_data:
        return  # with the data, Redis lost the keys by which it knows a repetition
    for key, count in Counter(row.key for row in books.rows).items():
        if count > 1:
            problems.add("duplicated", f"{key} has {count} rows", count - 1)
