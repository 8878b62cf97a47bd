"""Checks who was seen to come and go, and who is there at the end."""

from itertools import pairwise

from tests.chaos.books import Books, Client
from tests.chaos.ledger import UserLeft
from tests.chaos.verdict import Problems


def check(books: Books, problems: Problems) -> None:
    """The rosters at the end, every departure, and everyone who was to stay out."""
    _check_rosters(books, problems)
    _check_barred(books, problems)
    for session in books.sessions:
        _check_departures(books, session, problems)


def measures(books: Books) -> dict[str, float]:
    """The longest that a user who had gone was still taken to be there, in seconds; nothing when nobody went."""
    waits: list[float] = []
    for client in books.clients.values():
        if client.gone is None:
            continue
        seen = [
            event.at
            for other in books.of(client.came.session)
            for line in other.lines.values()
            for event in line.events
            if isinstance(event, UserLeft) and event.user == client.came.user
        ]
        if seen:
            waits.append(min(seen) - client.gone.at)
    return {"leave_seconds": max(waits)} if waits else {}


def _check_rosters(books: Books, problems: Problems) -> None:
    for roster in books.rosters:
        present = {client.came.user for client in books.of(roster.session) if client.gone is None}
        seen = set(roster.users)
        wrong = len(present ^ seen) + len(roster.users) - len(seen)
        if wrong:
            text = f"{roster.seen_by} has {len(seen - present)} ghosts and lacks {len(present - seen)} users"
            problems.add("seats", text, wrong)


def _check_barred(books: Books, problems: Problems) -> None:
    """Nobody is admitted who was removed before, or to a session that was closed before."""
    admitted = [(tried.at, tried.session, tried.user, tried.seen_by) for tried in books.tried if tried.is_admitted]
    admitted += [
        (line.opened.at, client.came.session, client.came.user, f"client {number}")
        for number, client in books.clients.items()
        for line in client.lines.values()
    ]
    for at, session, user, where in admitted:
        for barred in books.barred:
            if barred.session == session and barred.user in {user, ""} and barred.at < at:
                what = f"{user} was removed" if barred.user else f"the session {session} was closed"
                problems.add("seats", f"{where}: {what} at {barred.at:g}, and {user} was admitted at {at:g}")


def _check_departures(books: Books, session: str, problems: Problems) -> None:
    """Exactly one departure of who is gone; none of who came back in time."""
    left: dict[str, set[int]] = {}
    for client in books.of(session):
        for line in client.lines.values():
            for event in line.events:
                if isinstance(event, UserLeft):
                    left.setdefault(event.user, set()).add(event.seq)
    for client in books.of(session):
        count = len(left.pop(client.came.user, ()))
        least = 1 if client.gone is not None else 0
        most = least + _long_absences(client, books.head.kept_seconds)
        if count < least:
            problems.add("seats", f"client {client.came.client} is gone, and nobody was told")
        elif count > most:
            problems.add("flaps", f"client {client.came.client} was seen to leave {count} times", count - most)
    for user in left:
        problems.add("seats", f"{user} left, and was never here")


def _long_absences(client: Client, kept_seconds: float) -> int:
    """How often the client was away so long that its seat may have been freed; from the last sign of life on.

    Being on a gateway that nobody can hear of is being away.
    """
    return sum(cut.seconds >= kept_seconds for cut in client.severed) + sum(
        before.ended is not None and after.opened.at - (before.ended.at - before.ended.quiet) >= kept_seconds
        for before, after in pairwise(client.lines.values())
    )
