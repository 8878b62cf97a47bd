"""How many commands of one member may wait for Redis."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.rooms.link_share import TOGETHER, LinkShare
from tests.unit.gateway.rooms.memberships import member_of, room_of


def test_a_member_alone_may_have_the_most_and_goes_on_with_the_first_answer() -> None:
    """The member is held with the last command that it may have, and no longer with the first answer."""
    share, ana = LinkShare(3), member_of(room_of(), "ana")
    assert [share.sent(ana) for _ in range(3)] == [False, False, True]
    assert share.room(ana) == 1
    assert (share.answered(ana), ana.is_held, share.room(ana)) == (True, False, 1)
    assert share.answered(ana) is False
    assert share.room(ana) == 2


def test_many_members_share_the_link() -> None:
    """With 32 members that have commands under way each may have 4; alone again, a member may have 64."""
    share, room = LinkShare(64), room_of()
    members = [member_of(room, f"user {number}") for number in range(32)]
    for member in members:
        assert share.sent(member) is False
    assert share.room(members[0]) == TOGETHER // 32 - 1
    assert [share.sent(members[0]) for _ in range(3)] == [False, False, True]
    for member in members[1:]:
        share.answered(member)
    assert share.room(members[0]) == 64 - 4
    assert share.answered(members[0]) is True


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=300), st.integers(1, 8))
def test_a_member_is_held_until_an_answer_lets_it_go_on(steps: list[tuple[int, bool]], most: int) -> None:
    """Nobody has more than the most, and whoever is held has a command under way, so that an answer will come."""
    share, room = LinkShare(most), room_of()
    members = [member_of(room, f"user {number}") for number in range(10)]
    for number, is_answer in steps:
        member = members[number]
        if is_answer and member.in_flight:
            share.answered(member)
        elif not is_answer and not member.is_held:
            share.sent(member)
        assert all(one.in_flight <= most for one in members)
        assert all(one.in_flight > 0 for one in members if one.is_held)
        assert all(one.is_held or one.in_flight < most for one in members)
    for member in members:
        while member.in_flight:
            share.answered(member)
    assert not any(member.is_held for member in members)
    assert share.room(members[0]) == most
