"""The verdict on a ledger. Pure: entries in, verdict out; what it means is told in docs/reliability.md."""

from collections import Counter
from collections.abc import Iterable

from bench.statistics import percentile
from tests.chaos import deliveries, presence, storage
from tests.chaos.books import Books, sort
from tests.chaos.ledger import Entry
from tests.chaos.verdict import Counts, Problems, Quantiles, Verdict


def check(entries: Iterable[Entry]) -> Verdict:
    """Read a whole ledger, its head first, and say what is wrong with it."""
    books = sort(entries)
    problems = Problems()
    storage.check(books, problems)
    deliveries.check(books, problems)
    presence.check(books, problems)
    recovery = _recovery(books)
    measures = {
        **books.measures,
        **storage.measures(books),
        **deliveries.measures(books),
        **presence.measures(books),
        "reconnects": float(_counts(books).reconnects),
    }
    if recovery is not None:
        measures |= {"recovery_p50": recovery.p50, "recovery_p99": recovery.p99, "recovery_most": recovery.most}
    _check_demands(books, measures, problems)
    for refused in books.refused:
        if refused.final:
            what = f"message {refused.key} of client" if refused.key else "client"
            problems.add("broken", f"{what} {refused.client} was refused for good: {refused.code}")
    return Verdict(
        scenario=books.head.scenario,
        seed=books.head.seed,
        is_short=books.head.is_short,
        counts=_counts(books),
        wrongs=problems.wrongs(),
        faults=_faults(books),
        measures={name: round(value, 4) for name, value in measures.items()},
        demands={demand.name: (demand.least, demand.most) for demand in books.demands},
        problems=problems.said,
        recovery=recovery,
    )


def _check_demands(books: Books, measures: dict[str, float], problems: Problems) -> None:
    for demand in books.demands:
        value = measures.get(demand.name)
        if value is None:
            problems.add("broken", f"{demand.name} was not measured")
        elif not demand.least <= value <= demand.most:
            problems.add("broken", f"{demand.name} is {value:g}, not within {demand.least:g} to {demand.most:g}")


def _counts(books: Books) -> Counts:
    clients = books.clients.values()
    return Counts(
        clients=len(books.clients),
        faults=len(books.faults),
        sent=len(books.sent),
        acknowledged=len({entry.key for entry in books.acked}),
        delivered=sum(len(client.heard) + len(client.fetched) for client in clients),
        rows=len(books.rows),
        reconnects=sum(len(client.lines) - 1 for client in clients),
    )


def _recovery(books: Books) -> Quantiles | None:
    seconds = [entry.seconds for entry in books.caught_up]
    if not seconds:
        return None
    return Quantiles(round(percentile(seconds, 50), 4), round(percentile(seconds, 99), 4), round(max(seconds), 4))


def _faults(books: Books) -> list[str]:
    """The faults in words: how often what was done to whom, and for how long."""
    many = Counter(fault.what for fault in books.faults)
    if sum(many.values()) > 12:  # more than anybody reads
        return [f"{count} times {what}" for what, count in many.items()]
    return [
        f"{fault.at:.1f} s: {fault.what} {fault.target}"
        + (f" for {fault.until - fault.at:.1f} s" if fault.until > fault.at else "")
        for fault in books.faults
    ]
