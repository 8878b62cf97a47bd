"""Joins: a member's first event is the one after its welcome, whatever arrives between the seat and the socket."""

from collections.abc import AsyncIterator

import pytest

from gateway.protocol import close_codes
from gateway.rooms.join_buffer import JoinBuffer
from gateway.rooms.member import Standing
from tests.gateway_core import INFO, KEYS, GatewayCore, Recorder, gateway_core
from tests.redis_server import redial
from tests.session_state import ANA, BEN, CAT, eventually


def standing_of(member: Recorder) -> Standing:
    """The member's standing."""
    return member.membership.standing


@pytest.fixture
async def core(redis_url: str) -> AsyncIterator[GatewayCore]:
    """A gateway core with an open session."""
    async with gateway_core(redis_url) as core:
        yield core


async def test_a_join_event_before_the_seat_is_not_delivered(core: GatewayCore) -> None:
    """The first user's own `user_joined` arrives before the seat is confirmed; only later events are delivered."""
    room = await core.enter()
    seat = await core.seat(ANA)
    await eventually(lambda: room.sequencer.last_seq == 1)
    ana = core.recorder(room, ANA)
    core.attach(ana, seat)
    await core.left(room)
    await core.say()
    await ana.sees(2)
    assert ana.seqs == [2]


@pytest.mark.parametrize("is_first", [True, False])
async def test_events_between_seat_and_attach_are_delivered(core: GatewayCore, is_first: bool) -> None:
    """Events after the own join, but before the attach, are delivered at once, to the first user too."""
    if not is_first:
        await core.join(CAT)
    room = await core.enter()
    seat = await core.seat(ANA)
    for _ in range(3):
        last = await core.say()
    await eventually(lambda: room.sequencer.last_seq == last)
    ana = core.recorder(room, ANA)
    core.attach(ana, seat)
    await core.left(room)
    assert ana.seqs == [seat.seq + 1, seat.seq + 2, seat.seq + 3]
    assert len(ana.writes) == 1
    await core.say()
    await ana.sees(last + 1)


@pytest.mark.parametrize("is_first", [True, False])
async def test_a_member_ahead_of_the_room_waits_for_its_own_join(core: GatewayCore, is_first: bool) -> None:
    """A member attached before its own join arrives gets nothing up to that event, and everything after it."""
    if not is_first:
        await core.mark(await core.join(CAT))
    room = await core.enter()
    core.gate.shut()
    before = await core.say()
    seat = await core.seat(ANA)
    await core.say()
    await core.gate.holds(3)
    ana = core.recorder(room, ANA)
    core.attach(ana, seat)
    await core.left(room)
    core.gate.let(1)
    core.gate.let(1)
    assert ana.events == []
    core.gate.open()
    await ana.sees(before + 2)
    assert ana.seqs == [before + 2]


async def test_each_member_ahead_is_admitted_at_its_own_join(core: GatewayCore) -> None:
    """Each member ahead of the room is admitted at its own join, and gets the later joins."""
    room = await core.enter()
    core.gate.shut()
    members = []
    for user in (ANA, BEN, CAT):
        seat = await core.seat(user)
        members.append(core.recorder(room, user))
        if user == ANA:
            room.sequencer.last_seq = 0  # as if the room had had members before
            room.sequencer.epoch = seat.epoch
        core.attach(members[-1], seat)
    await core.left(room)
    await core.say()
    await core.gate.holds(4)
    assert {member.standing for member in room.members} == {Standing.AHEAD}
    core.gate.open()
    await core.mark(*members)
    assert [member.seqs for member in members] == [[2, 3, 4], [3, 4], [4]]


@pytest.mark.parametrize("is_first", [True, False])
async def test_events_in_the_welcome_are_not_repeated(core: GatewayCore, is_first: bool) -> None:
    """Events during the join that the welcome contains are not delivered again."""
    if not is_first:
        await core.join(CAT)
    room = await core.enter()
    await core.say()
    seat = await core.seat(ANA)
    last = await core.say()
    await eventually(lambda: room.sequencer.last_seq == last)
    ana = core.recorder(room, ANA)
    core.attach(ana, seat)
    await core.left(room)
    await core.mark(ana)
    assert ana.seqs == [last] == [seat.seq + 1]


@pytest.mark.parametrize("what", ["closed", "removed", "another removed"])
async def test_a_removal_or_close_before_the_attach_ends_the_member(core: GatewayCore, what: str) -> None:
    """A user removed, or a session closed, before the attach: the member gets the event and is ended."""
    cat = await core.join(CAT)
    room = await core.enter()
    seat = await core.seat(ANA)
    await core.say()
    if what == "closed":
        await core.sessions.close(INFO.id)
    else:
        await core.sessions.remove(INFO.id, CAT if what == "another removed" else ANA)
    await eventually(lambda: room.sequencer.last_seq == seat.seq + 2)
    ana = core.recorder(room, ANA)
    core.attach(ana, seat)
    await core.left(room)
    endings = {"closed": close_codes.SESSION_CLOSED, "removed": close_codes.REMOVED, "another removed": None}
    assert ana.ending == endings[what]
    assert ana.seqs == [seat.seq + 1, seat.seq + 2]
    assert (cat.ending is None) == (what == "removed")


async def test_a_late_replaced_event_does_not_end_the_new_connection(core: GatewayCore) -> None:
    """The new connection ends the old one, and a late `replaced` event does not end the new one."""
    first = await core.join(ANA, connection="first")
    await core.shut(first)
    second = await core.join(ANA, connection="second")
    assert (first.ending, second.ending) == (close_codes.REPLACED, None)
    await core.gate.holds(1)
    core.gate.open()
    await core.mark(second)
    assert second.ending is None


async def test_a_member_that_ends_while_ahead_keeps_no_room(core: GatewayCore) -> None:
    """A member that ends while it is ahead gets no events, and keeps no room."""
    cat = await core.join(CAT)
    await core.shut(cat)
    room = await core.enter()
    seat = await core.seat(ANA)
    ana = core.recorder(room, ANA)
    core.attach(ana, seat)
    await core.left(room)
    ana.end(close_codes.LEFT)
    await core.say()
    core.gate.open()
    await cat.sees(3)
    assert (ana.events, [member.carrier for member in room.members]) == ([], [cat])


async def test_queued_events_are_not_repeated_to_a_new_member(core: GatewayCore) -> None:
    """A member attached in the tick in which events arrived gets each of them once."""
    cat = await core.join(CAT)
    await core.mark(cat)
    room = await core.enter()
    seat = await core.seat(ANA)
    await cat.sees(seat.seq)
    core.gate.shut()
    last = await core.say()
    await core.gate.holds(1)
    core.gate.open()
    ana = core.recorder(room, ANA)
    core.attach(ana, seat)
    await core.left(room)
    await core.mark(ana, cat)
    assert ana.seqs == [last]
    assert cat.seqs[-2:] == [seat.seq, last]


async def test_a_member_that_outlasted_the_join_buffer_is_not_attached(core: GatewayCore) -> None:
    """After more events than the join buffer keeps, a member is attached only once it has read the rest."""
    cat = await core.join(CAT)
    room = cat.room
    room.expect_join(JoinBuffer(max_events=8))
    seat = await core.seat(ANA)
    for _ in range(9):
        last = await core.say()
    await cat.sees(last)
    ana = core.recorder(room, ANA)
    core.driver.seat(ana.membership, seat.seq, seat.epoch)
    assert not core.driver.attach(ana.membership, seat.seq)
    assert (standing_of(cat), standing_of(ana), ana.events) == (Standing.LIVE, Standing.BEHIND, [])
    assert core.driver.attach(ana.membership, last - 8)
    assert ana.seqs == list(range(last - 7, last + 1))
    room.join_is_over()


async def test_a_suspended_member_gets_nothing_until_it_is_attached(core: GatewayCore) -> None:
    """A suspended member gets the events from before, and no others until it is attached again."""
    ana, cat = await core.join(ANA), await core.join(CAT)
    last = await core.say()
    await cat.sees(last)
    assert core.driver.suspend(ana.membership) == last
    await cat.sees(await core.say())
    assert ana.seqs[-1] == last
    assert ana.room.members.of(ANA) == (ana.membership,)
    assert not core.driver.attach(ana.membership, last)
    assert core.driver.attach(ana.membership, last + 1)
    await ana.sees(await core.say())
    assert ana.seqs[-2:] == [last, last + 2]


async def test_the_join_buffer_exists_only_during_joins(core: GatewayCore) -> None:
    """Without a join no events are kept; the end of the last join drops the kept ones."""
    cat = await core.join(CAT)
    last = await core.say()
    await cat.sees(last)
    room = await core.enter()
    await core.enter()
    assert room._join_buffer is not None
    assert len(room._join_buffer.recent) == 0
    last = await core.say()
    await cat.sees(last)
    await core.left(room)
    assert len(room._join_buffer.recent) == 1
    await core.left(room)
    assert room._join_buffer is None


async def test_a_gap_over_the_own_join_ends_the_member(core: GatewayCore) -> None:
    """When a member's own join is missing from the log, the member is ended, and its resume misses nothing."""
    cat = await core.join(CAT)
    await core.shut(cat)
    room = await core.enter()
    seat = await core.seat(ANA)
    ana = core.recorder(room, ANA)
    core.attach(ana, seat)
    await core.left(room)
    await core.say()
    last = await core.say()
    await core.gate.holds(3)
    for seq in (seat.seq, seat.seq + 1):
        await core.link.call("XDEL", core.log_key, f"{seq}-0")
    core.gate.lose(2)
    core.gate.open()
    await cat.sees(last)
    assert cat.types[-2:] == ["gap", "message_received"]
    assert (ana.ending, ana.events) == (close_codes.RESYNC, [])


async def test_events_missed_during_the_first_join_are_fetched(core: GatewayCore, redis_url: str) -> None:
    """When the subscription breaks during the first join, missed events are fetched without a new event."""
    room = await core.enter()
    core.gate.shut()
    seat = await core.seat(ANA)
    last = await core.say()
    await core.gate.holds(2)
    core.gate.lose(2)
    await redial(redis_url, core.listening.keeper, "pubsub")
    core.gate.open()
    await core.publisher.ephemeral(INFO.id, "spirit_thinking")
    ana = core.recorder(room, ANA)
    core.attach(ana, seat)
    await core.left(room)
    await ana.sees(last)
    assert (ana.seqs, ana.ending) == ([last], None)


async def test_a_join_in_a_new_epoch_ends_the_older_members(core: GatewayCore) -> None:
    """A member that joins after the hot state was rebuilt stays; all members of the old epoch are ended."""
    ana, ben = await core.join(ANA), await core.join(BEN)
    await core.mark(ana, ben)
    old = core.rooms()[0].sequencer.epoch
    partition = KEYS.partition_of(INFO.id)
    await core.link.call("DEL", KEYS.session(partition, INFO.id))
    await core.sessions.open(INFO, max_seq=2)
    cat = await core.join(CAT)
    assert (ana.ending, ben.ending, cat.ending) == (close_codes.RESYNC, close_codes.RESYNC, None)
    assert core.rooms()[0].sequencer.epoch != old
    last = await core.say()
    await cat.sees(last)
    await core.mark(cat)
    assert (cat.seqs, last) == ([2_000_002], 2_000_002)


async def test_events_of_a_new_epoch_before_the_attach_are_delivered(core: GatewayCore) -> None:
    """Events of a new epoch from before its first member was attached reach that member."""
    ana = await core.join(ANA)
    await core.link.call("DEL", core.key)
    await core.sessions.open(INFO, max_seq=2)
    room = await core.enter()
    seat = await core.seat(CAT)
    assert await ana.ends() == close_codes.RESYNC
    last = await core.say()
    await eventually(lambda: room.sequencer.last_seq == last)
    cat = core.recorder(room, CAT)
    core.attach(cat, seat)
    await core.left(room)
    await cat.sees(last)
    assert (ana.ending, cat.seqs) == (close_codes.RESYNC, [last])
