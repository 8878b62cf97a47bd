"""With which messages Redis looks at the limits."""

import msgspec

from broker.pubsub.publisher import Toll
from gateway.limits.rate import UNLIMITED, Rate
from gateway.rooms.membership import Membership
from gateway.rooms.tolls import Tolls
from tests.unit.gateway.rooms.memberships import INFO, member_of, room_of

SESSION, USER = Rate(500, 1000), Rate(20, 40)


def tolls_of(tolls: Tolls, member: Membership, messages: int) -> list[Toll]:
    """The tolls of the member's next messages, empty ones for those without."""
    return [tolls.of_next(member) or Toll(0, 0) for _ in range(messages)]


def test_every_message_is_paid_for_by_one_toll() -> None:
    """The first message of a membership pays for itself, then one in 8; a room pays with one in 16."""
    found = tolls_of(Tolls(SESSION, USER), member_of(room_of(), "ana"), 33)
    assert [number for number, toll in enumerate(found, 1) if toll.user] == [1, 9, 17, 25, 33]
    assert [number for number, toll in enumerate(found, 1) if toll.session] == [16, 32]
    assert (sum(toll.user for toll in found), sum(toll.session for toll in found)) == (33, 32)


def test_the_members_of_a_room_pay_together_for_their_session() -> None:
    """Each user pays for their own messages."""
    room, tolls = room_of(), Tolls(SESSION, USER)
    ana, ben = member_of(room, "ana"), member_of(room, "ben")
    tolls_of(tolls, ana, 8)
    assert tolls_of(tolls, ben, 8)[-1] == Toll(16, 0)


def test_where_a_user_has_several_connections_each_message_pays() -> None:
    """The others may be on other gateways."""
    room = room_of(msgspec.structs.replace(INFO, multiple_connections=True))
    assert tolls_of(Tolls(SESSION, USER), member_of(room, "ana"), 3) == [Toll(0, 1)] * 3


def test_with_a_small_burst_each_message_pays() -> None:
    """Messages that are not paid for yet come on top of the burst, so they must be few beside it."""
    assert tolls_of(Tolls(Rate(2, 5), Rate(1, 3)), member_of(room_of(), "ana"), 3) == [Toll(1, 1)] * 3


def test_after_a_refusal_the_next_message_pays() -> None:
    """No token was taken, so the next toll is for the earlier messages too, but not for the refused one."""
    member, tolls = member_of(room_of(), "ana"), Tolls(SESSION, USER)
    refused = tolls_of(tolls, member, 16)[-1]
    assert refused == Toll(16, 0)
    tolls.refused(member, refused)
    assert tolls.of_next(member) == Toll(16, 0)
    tolls.refused(member, Toll(0, 8))
    assert tolls.of_next(member) == Toll(0, 15)
    assert tolls.of_next(member) is None


def test_messages_under_way_during_a_refusal_are_paid_for_too() -> None:
    """They had no toll of their own."""
    member, tolls = member_of(room_of(), "ana"), Tolls(SESSION, UNLIMITED)
    refused = tolls_of(tolls, member, 16)[-1]
    assert tolls_of(tolls, member, 3) == [Toll(0, 0)] * 3
    tolls.refused(member, refused)
    assert tolls.of_next(member) == Toll(19, 0)


def test_a_toll_is_never_larger_than_the_burst() -> None:
    """It could not be paid."""
    member, tolls = member_of(room_of(), "ana"), Tolls(Rate(2, 5), Rate(1, 3))
    for _ in range(10):
        toll = tolls.of_next(member)
        assert toll is not None
        tolls.refused(member, Toll(toll.session, toll.user))
        tolls.refused(member, Toll(5, 3))
    assert tolls.of_next(member) == Toll(5, 3)


def test_without_limits_redis_looks_at_the_backlog_all_the_same() -> None:
    """The bytes of a session that wait for Postgres are bounded whatever the rates are."""
    found = tolls_of(Tolls(UNLIMITED, UNLIMITED), member_of(room_of(), "ana"), 32)
    assert [number for number, toll in enumerate(found, 1) if toll != Toll(0, 0)] == [16, 32]
    assert found[15] == Toll(16, 0)
