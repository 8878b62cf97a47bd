"""The members of a room, by user."""

from gateway.rooms.members import Members
from tests.unit.gateway.rooms.memberships import member_of, room_of


def test_nobody_is_there_at_first() -> None:
    """Nobody is there at first, and an unknown member goes without harm."""
    members = Members()
    members.discard(member_of(room_of(), "ana"))
    assert (bool(members), list(members), members.of("ana")) == (False, [], ())


def test_a_member_is_found_by_its_user_until_it_goes() -> None:
    """Every user's membership is found by the user, until it goes."""
    members = Members()
    ana, ben = member_of(room_of(), "ana"), member_of(room_of(), "ben")
    members.add(ana)
    members.add(ben)
    assert (members.of("ana"), members.of("ben"), list(members)) == ((ana,), (ben,), [ana, ben])
    members.discard(ana)
    assert (members.of("ana"), list(members), bool(members)) == ((), [ben], True)
    members.discard(ben)
    assert not members


def test_several_memberships_of_a_user_keep_their_order() -> None:
    """Several memberships of a user come in their order, and go one by one in any."""
    members = Members()
    own = [member_of(room_of(), "ana", f"c-{number}") for number in range(3)]
    for member in own:
        members.add(member)
    assert members.of("ana") == tuple(own) == tuple(members)
    members.discard(member_of(room_of(), "ana", "c-9"))
    members.discard(own[1])
    assert members.of("ana") == (own[0], own[2])
    members.discard(own[0])
    assert members.of("ana") == (own[2],)
    members.discard(own[2])
    assert not members
