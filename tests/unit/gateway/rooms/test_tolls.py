"""With which messages Redis looks at the limits."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from broker.pubsub.publisher import Toll
from gateway.limits.rate import UNLIMITED, Rate
from gateway.rooms.membership import Membership
from gateway.rooms.tolls import Tolls
from tests.unit.gateway.rooms.memberships import INFO, member_of, room_of

SESSION, USER = Rate(500, 1000), Rate(20, 40)


def tolls_of(tolls: Tolls, member: Membership, messages: int) -> list[Toll]:
    """The tolls of the member's next messages, each taken at once; empty ones for those without."""
    found = []
    for _ in range(messages):
        toll = tolls.of_next(member)
        if toll is not None:
            tolls.paid(member, toll)
        found.append(toll or Toll(0, 0))
    return found


def test_every_message_is_paid_for_by_one_toll() -> None:
    """The first message of a membership pays for itself, then one in 10, for the room too."""
    found = tolls_of(Tolls(SESSION, USER), member_of(room_of(), "ana"), 31)
    assert [number for number, toll in enumerate(found, 1) if toll != Toll(0, 0)] == [1, 11, 21, 31]
    assert (sum(toll.user for toll in found), sum(toll.session for toll in found)) == (31, 31)


def test_the_members_of_a_room_pay_together_for_their_session() -> None:
    """Who pays for a user's own messages pays for what the others have sent as well; else one in 16 pays."""
    room, tolls = room_of(), Tolls(SESSION, USER)
    ana, ben = member_of(room, "ana"), member_of(room, "ben")
    tolls_of(tolls, ana, 8)
    assert tolls_of(tolls, ben, 2) == [Toll(8, 1), Toll(0, 0)]
    silent = Tolls(SESSION, UNLIMITED)
    assert tolls_of(silent, ana, 14) == [Toll(0, 0)] * 14
    assert tolls_of(silent, ben, 1) == [Toll(16, 0)]


def test_where_a_user_has_several_connections_each_message_pays() -> None:
    """The others may be on other gateways."""
    room = room_of(msgspec.structs.replace(INFO, multiple_connections=True))
    assert tolls_of(Tolls(SESSION, USER), member_of(room, "ana"), 3) == [Toll(1, 1)] * 3


def test_with_a_small_burst_each_message_pays() -> None:
    """Messages that are not paid for yet come on top of the burst, so they must be few beside it."""
    assert tolls_of(Tolls(Rate(2, 5), Rate(1, 3)), member_of(room_of(), "ana"), 3) == [Toll(1, 1)] * 3


def test_after_a_refusal_every_message_pays_until_a_toll_is_taken() -> None:
    """No token was taken, so the next toll is for the earlier messages too, but not for the refused one."""
    member, tolls = member_of(room_of(), "ana"), Tolls(SESSION, UNLIMITED)
    tolls_of(tolls, member, 15)
    for _ in range(3):
        toll = tolls.of_next(member)
        assert toll == Toll(16, 0)
        tolls.refused(member, toll)
    assert [tolls.of_next(member) for _ in range(3)] == [Toll(16, 0), Toll(1, 0), Toll(1, 0)]
    tolls.paid(member, Toll(16, 0))
    assert tolls_of(tolls, member, 16)[:15] == [Toll(0, 0)] * 15


def test_messages_under_way_during_a_refusal_are_paid_for_too() -> None:
    """They had no toll of their own."""
    member, tolls = member_of(room_of(), "ana"), Tolls(SESSION, UNLIMITED)
    tolls_of(tolls, member, 15)
    refused = tolls.of_next(member)
    assert refused is not None
    assert tolls_of(tolls, member, 3) == [Toll(0, 0)] * 3
    tolls.refused(member, refused)
    assert tolls.of_next(member) == Toll(19, 0)


def test_a_toll_is_never_larger_than_the_burst() -> None:
    """It could not be taken; what is left is paid by the next messages."""
    member, tolls = member_of(room_of(), "ana"), Tolls(Rate(100, 20), UNLIMITED)
    member.room.unpaid = -51
    assert [toll.session for toll in tolls_of(tolls, member, 4)] == [20, 20, 13, 0]


@given(st.lists(st.tuples(st.sampled_from(["ana", "ben"]), st.booleans(), st.integers(0, 5)), max_size=200))
def test_no_message_is_forgotten_or_paid_twice(messages: list[tuple[str, bool, int]]) -> None:
    """Whatever is refused, in whatever order answers come: every published message is paid for or unpaid.

    Beside them only refused messages can be: the toll of a later message may have counted one already.
    """
    room, tolls = room_of(), Tolls(Rate(100, 40), Rate(20, 40))
    members = {name: member_of(room, name) for name in ("ana", "ben")}
    under_way: list[tuple[Membership, Toll | None, bool]] = []
    published, refused, session_paid, user_paid = 0, 0, 0, 0
    for name, is_refused, waiting in messages:
        toll = tolls.of_next(members[name])
        under_way.append((members[name], toll, is_refused and toll is not None))
        while len(under_way) > waiting:
            member, toll, was_refused = under_way.pop(0)
            if was_refused and toll is not None:
                tolls.refused(member, toll)
                refused += 1
                continue
            published += 1
            if toll is not None:
                tolls.paid(member, toll)
                session_paid += toll.session
                user_paid += toll.user
    for member, toll, _ in under_way:
        published += 1
        if toll is not None:
            tolls.paid(member, toll)
            session_paid += toll.session
            user_paid += toll.user
    assert published <= session_paid + _unpaid(room.unpaid) <= published + refused
    user_unpaid = sum(_unpaid(member.unpaid) for member in members.values())
    assert published <= user_paid + user_unpaid <= published + refused


def _unpaid(unpaid: int) -> int:
    return unpaid if unpaid >= 0 else -1 - unpaid


def test_without_limits_redis_looks_at_the_backlog_all_the_same() -> None:
    """The bytes of a session that wait for Postgres are bounded whatever the rates are."""
    found = tolls_of(Tolls(UNLIMITED, UNLIMITED), member_of(room_of(), "ana"), 32)
    assert [number for number, toll in enumerate(found, 1) if toll != Toll(0, 0)] == [16, 32]
    assert found[15] == Toll(16, 0)
