"""The checker of the chaos suite: a correct ledger has no faults, and every fault in ledgers made by hand is found."""

from collections.abc import Iterable

import msgspec
import pytest

from tests.chaos.checker import check
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
from tests.chaos.verdict import Verdict

HEAD = Head(0.0, "by-hand", 7, True, 7.0)


def opened(client: int, connection: int, seq: int, at: float = 0.0, **other: object) -> Opened:
    entry = Opened(at, client, connection, "e", seq, connection > 1, connection > 1, "log", 0)
    return msgspec.structs.replace(entry, **other)


def heard(client: int, seq: int, connection: int = 1, message_id: str | None = None, key: str | None = None) -> Heard:
    return Heard(1.0, client, connection, seq, message_id or f"id{seq}", key or f"k{seq}")


def sent(*seqs: int) -> list[Entry]:
    """Messages of client 1 that were acknowledged and stored."""
    return [
        entry
        for seq in seqs
        for entry in (
            Sent(0.5, 1, f"k{seq}"),
            Acked(0.6, 1, f"k{seq}", seq, f"id{seq}", "accepted"),
            Row(9.0, "s", seq, f"id{seq}", f"k{seq}"),
        )
    ]


def two_clients(*entries: Entry) -> list[Entry]:
    """Ana and Ben in one session, and what happened to them."""
    return [
        HEAD,
        Came(0.0, 1, "s", "ana"),
        opened(1, 1, 1),
        UserCame(0.1, 1, 1, 2, "ben"),
        Came(0.1, 2, "s", "ben"),
        opened(2, 1, 2),
        *entries,
    ]


def wrongs(entries: Iterable[Entry]) -> dict[str, int]:
    """What is wrong, without what is not."""
    found = msgspec.structs.asdict(check(entries).wrongs)
    return {name: count for name, count in found.items() if count}


GOOD = two_clients(*sent(3, 4), heard(1, 3), heard(1, 4), heard(2, 3), heard(2, 4))


def test_a_correct_ledger_has_no_faults_and_is_counted() -> None:
    """Nothing is wrong, and everything is counted."""
    verdict: Verdict = check([*GOOD, Roster(9.0, "s", "gw-1", ["ana", "ben"])])
    assert verdict.problems == []
    assert verdict.is_good
    counts = verdict.counts
    assert (counts.clients, counts.sent, counts.acknowledged, counts.delivered, counts.rows) == (2, 2, 2, 4, 2)


def test_a_resumption_is_no_fault_and_is_measured() -> None:
    """A client that was away gets the missed events on its next connection."""
    back = [opened(2, 2, 3, at=3.0, missed=1), heard(2, 4, 2), CaughtUp(3.5, 2, 2, 0.5)]
    verdict = check(two_clients(*sent(3, 4), heard(1, 3), heard(1, 4), heard(2, 3), Ended(2.0, 2, 1, 0, 0.0), *back))
    assert verdict.is_good, verdict.problems
    assert verdict.recovery is not None
    assert verdict.recovery.p99 == 0.5
    assert verdict.counts.reconnects == 1


def test_messages_taken_from_the_history_count_as_delivered() -> None:
    """What a client takes from the history, after a resumption that failed or a gap, counts as delivered."""
    failed = opened(2, 2, 4, at=3.0, recovered=False, source="none")
    lines = [Ended(2.0, 2, 1, 0, 0.0), failed, Fetched(3.1, 2, 3, "id3", "k3"), Fetched(3.1, 2, 4, "id4", "k4")]
    assert wrongs(two_clients(*sent(3, 4), heard(1, 3), heard(1, 4), *lines)) == {}
    gap = [Skipped(1.0, 2, 1, 3, 3), Fetched(3.1, 2, 3, "id3", "k3"), heard(2, 4)]
    assert wrongs(two_clients(*sent(3, 4), heard(1, 3), heard(1, 4), *gap)) == {}


def test_seq_may_skip_in_a_resumption_from_history() -> None:
    """With `source: history` only messages follow, so seq may skip, once to every event and to the live ones."""
    pages = opened(2, 2, 3, at=3.0, source="history", missed=1)
    lines = [heard(2, 3), Ended(2.0, 2, 1, 0, 0.0), pages, heard(2, 7, 2), heard(2, 9, 2), heard(2, 10, 2)]
    others = [UserCame(1.0, 1, 1, seq, "ben") for seq in (4, 5, 6, 8)]
    told: list[Heard | UserCame] = [*(heard(1, seq) for seq in (3, 7, 9, 10)), *others]
    ana = sorted(told, key=lambda event: event.seq)
    assert wrongs(two_clients(*sent(3, 7, 9, 10), *ana, *lines)) == {}
    late = [*lines[:-1], heard(2, 11, 2)]
    assert wrongs(two_clients(*sent(3, 7, 9, 10, 11), *ana, heard(1, 11), *late)) == {"lost": 2}


def test_a_message_that_never_came_is_lost() -> None:
    """An acknowledged message that one client lacks is lost, and the hole is silent."""
    assert wrongs(two_clients(*sent(3, 4), heard(1, 3), heard(1, 4), heard(2, 4))) == {"lost": 2}
    assert wrongs(two_clients(*sent(3, 4), heard(1, 3), heard(1, 4), heard(2, 3))) == {"lost": 1}


def test_an_acknowledged_message_without_a_row_is_lost() -> None:
    """The message was delivered, though it is not stored."""
    entries = [entry for entry in GOOD if not (isinstance(entry, Row) and entry.seq == 4)]
    assert wrongs(entries) == {"lost": 1, "phantom": 1}


def test_a_row_at_another_seq_is_a_fault() -> None:
    """A row must be at the acknowledged seq."""
    entries = [
        msgspec.structs.replace(entry, seq=5) if isinstance(entry, Row) and entry.seq == 4 else entry for entry in GOOD
    ]
    assert wrongs(entries) == {"reordered": 1}


def test_a_row_that_nobody_sent_is_a_phantom() -> None:
    """A row of a message that nobody sent is a phantom."""
    assert wrongs([*GOOD, Row(9.0, "s", 5, "id5", "k5")]) == {"phantom": 1}


def test_duplicates_are_found_by_seq_id_and_key() -> None:
    """A seq that comes twice, a message under two seqs, and a key with two ids or two rows are duplicates."""
    assert wrongs([*GOOD, heard(2, 4)]) == {"duplicated": 1}
    assert wrongs([*GOOD, opened(2, 2, 3), heard(2, 4, 2)]) == {"duplicated": 1, "reordered": 1}
    assert wrongs([*GOOD, heard(1, 5, message_id="id4", key="k4"), heard(2, 5, message_id="id4", key="k4")]) == {
        "duplicated": 2
    }
    again = [Acked(0.7, 1, "k4", 5, "id5", "accepted"), Row(9.0, "s", 5, "id5", "k4")]
    both = [heard(client, 5, message_id="id5", key="k4") for client in (1, 2)]
    assert wrongs([*GOOD, *again, *both]) == {"duplicated": 4}


def test_after_lost_data_a_message_may_have_two_ids() -> None:
    """A Redis that lost its data can't know that a message was stored already."""
    again = [Acked(0.7, 1, "k4", 5, "id5", "persisted"), Row(9.0, "s", 5, "id5", "k4")]
    both = [heard(client, 5, message_id="id5", key="k4") for client in (1, 2)]
    assert wrongs([*GOOD, *again, *both, Fault(0.65, "lose data", "redis", 0.65)]) == {}


def test_events_out_of_order_and_disagreements_are_found() -> None:
    """Events that come in the wrong order, and clients that disagree about it."""
    assert wrongs(two_clients(*sent(3, 4), heard(1, 3), heard(1, 4), heard(2, 4), heard(2, 3))) == {
        "lost": 1,
        "reordered": 1,
    }
    swapped = [heard(2, 3, message_id="id4", key="k4"), heard(2, 4, message_id="id3", key="k3")]
    assert wrongs(two_clients(*sent(3, 4), heard(1, 3), heard(1, 4), *swapped)) == {"reordered": 2}


@pytest.mark.parametrize(
    ("users", "count"), [(["ana"], 1), (["ana", "ben", "eve"], 1), (["ana", "eve"], 2), (["ana", "ben", "ben"], 1)]
)
def test_missing_users_and_ghosts_are_wrong_seats(users: list[str], count: int) -> None:
    """A user who is missing from a roster, and a ghost in a roster, is a wrong seat."""
    assert wrongs([*GOOD, Roster(9.0, "s", "gw-1", users)]) == {"seats": count}


def test_a_user_who_is_gone_leaves_exactly_once() -> None:
    """One `user_left` is right and measured; none, two, or the `user_left` of a stranger is wrong."""
    gone = [*GOOD, Ended(2.0, 2, 1, 0, 0.0), Gone(2.0, 2)]
    assert wrongs(gone) == {"seats": 1}
    one = [*gone, UserLeft(8.0, 1, 1, 5, "ben", "lost"), Roster(9.0, "s", "gw-1", ["ana"])]
    assert wrongs(one) == {}
    assert check(one).measures["leave_seconds"] == 6.0
    assert wrongs([*one, UserLeft(8.0, 1, 1, 6, "ben", "lost")]) == {"flaps": 1}
    assert wrongs([*one, UserLeft(8.0, 1, 1, 6, "eve", "lost")]) == {"seats": 1}


@pytest.mark.parametrize(("away_seconds", "expected"), [(6.0, {"flaps": 1}), (9.0, {})])
def test_a_user_who_comes_back_in_time_was_not_seen_to_leave(away_seconds: float, expected: dict[str, int]) -> None:
    """Who comes back in time was not seen to leave; after a longer absence the seat may have been freed."""
    back = opened(2, 2, 4, at=1.0 + away_seconds)
    left = [UserLeft(5.0, 1, 1, 5, "ben", "lost"), UserCame(8.0, 1, 1, 6, "ben")]
    lines = [
        Ended(1.5, 2, 1, 0, 0.5),
        *left,
        back,
        UserLeft(8.0, 2, 2, 5, "ben", "lost"),
        UserCame(8.0, 2, 2, 6, "ben"),
    ]
    assert wrongs([*GOOD, *lines]) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(6.0, {"flaps": 1}), (9.0, {})])
def test_users_of_a_cut_off_gateway_keep_their_seats_for_its_lease(seconds: float, expected: dict[str, int]) -> None:
    """Users of a gateway that can't reach Redis keep their seats as long as its lease, not longer."""
    left = [UserLeft(5.0, 1, 1, 5, "ben", "lost"), UserCame(8.0, 1, 1, 6, "ben")]
    assert wrongs([*GOOD, Severed(1.0, 2, seconds), *left]) == expected


def test_a_final_refusal_is_a_fault() -> None:
    """A refusal is right while the message is sent again, and wrong when it is final."""
    assert wrongs([*GOOD, Refused(1.0, 1, "k4", "unavailable", final=False)]) == {}
    assert wrongs([*GOOD, Refused(1.0, 1, "k4", "unavailable", final=True)]) == {"broken": 1}


@pytest.mark.parametrize(("most", "expected"), [(1.0, {}), (0.1, {"broken": 1})])
def test_a_measure_must_lie_within_its_demand(most: float, expected: dict[str, int]) -> None:
    """A measure has to lie in the bounds that the scenario demands."""
    assert wrongs([*GOOD, CaughtUp(1.0, 2, 1, 0.5), Demand(0.0, "recovery_p99", 0.0, most)]) == expected


def test_a_demand_that_was_not_measured_is_not_met() -> None:
    """A scenario that did not measure what it demands proves nothing."""
    assert wrongs([*GOOD, Demand(0.0, "recovery_p99", 0.0, 1.0)]) == {"broken": 1}


@pytest.mark.parametrize("barred", ["ben", ""])
def test_finds_who_was_to_stay_out(barred: str) -> None:
    """A removed user who is admitted, and anybody who is admitted to a closed session, is a seat too many."""
    good = [
        Tried(1.0, "s", "ben", "gw-1", True, "welcome"),
        Barred(2.0, "s", barred),
        Tried(3.0, "s", "ben", "gw-1", False, "unauthorized"),
        Tried(3.0, "other", "ben", "gw-1", True, "welcome"),
    ]
    assert wrongs([*GOOD, *good]) == {}
    assert wrongs([*GOOD, *good, Tried(4.0, "s", "ben", "gw-2", True, "welcome")]) == {"seats": 1}
    ana = Tried(4.0, "s", "ana", "gw-2", True, "welcome")
    assert wrongs([*GOOD, *good, ana]) == ({} if barred else {"seats": 1})


def test_finds_a_client_that_came_back_to_a_closed_session() -> None:
    """A client's own connection counts as well."""
    back = [Ended(1.0, 2, 1, 4504, 0.0), opened(2, 2, 4, at=3.0)]
    assert wrongs([*GOOD, Barred(2.0, "s", ""), *back]) == {"seats": 1}
