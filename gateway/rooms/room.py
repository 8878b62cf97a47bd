"""One session on this gateway: its members, and the events that each of them gets. Pure: no future, no timer, no loop.

Every method takes one occurrence and returns the effects, which the room driver carries out in order. The room removes
a member before the driver ends the member, so that no loop over the members changes them.
"""

from collections.abc import Callable, Iterable, Sequence

from broker.events import Empty, ephemeral, instant
from broker.sessions.event_log import Event, EventKind
from broker.sessions.live_sessions import Position, SessionInfo
from gateway.limits.rate import Rate
from gateway.protocol import close_codes, server_events
from gateway.protocol.close_codes import Ending
from gateway.protocol.frames import text_frame
from gateway.rooms.commit_waiters import CommitWaiters
from gateway.rooms.effects import (
    SCHEDULE_FLUSH,
    AnnouncePresence,
    CommitCallback,
    Effect,
    Effects,
    End,
    ReadCommits,
    ReadSeats,
    ReportGap,
    RetryLater,
    Step,
    Write,
)
from gateway.rooms.join_buffer import JoinBuffer, ended_by
from gateway.rooms.member import Member, Standing
from gateway.rooms.members import Members
from gateway.rooms.outbox import Outbox
from gateway.rooms.seat_check import endings, is_undecided
from gateway.rooms.sequencer import Lost, Missing, Results, Sequencer


class Room:
    """The members of one session. `joins` counts the joins under way, for which the join buffer keeps recent events.

    `unpaid` counts the members' messages that the limit of the session's messages has not counted yet
    (gateway/rooms/tolls.py).
    """

    __slots__ = (
        "_ahead",
        "_asked_commits",
        "_commit_waiters",
        "_is_check_due",
        "_is_presence_due",
        "_join_buffer",
        "_now",
        "_outbox",
        "_user_count",
        "info",
        "joins",
        "members",
        "sequencer",
        "unpaid",
    )

    def __init__(self, info: SessionInfo, sequencer: Sequencer | None = None, now: Callable[[], str] = instant) -> None:
        self.info = info
        self.members = Members()
        self.joins = 0
        self.unpaid = 0
        self.sequencer = Sequencer() if sequencer is None else sequencer
        self._now = now
        self._outbox = Outbox()
        # Both are made when they are needed: in a small room, empty ones would cost 300 bytes for each socket.
        self._commit_waiters: CommitWaiters | None = None
        self._join_buffer: JoinBuffer | None = None
        self._ahead: list[Member] = []
        self._user_count = 0
        self._is_presence_due = False
        # After an interruption seats and commits are checked, once the sequencer has caught up.
        self._is_check_due = False
        self._asked_commits: ReadCommits | None = None

    @property
    def is_empty(self) -> bool:
        """Whether the room has no members and no joins under way."""
        return not self.members and not self.joins

    # Members come and go

    def expect_join(self, buffer: JoinBuffer | None = None) -> None:
        """A join has begun; call `join_is_over` at its end."""
        self.joins += 1
        if self._join_buffer is None:
            self._join_buffer = JoinBuffer() if buffer is None else buffer

    def join_is_over(self) -> None:
        """A join has ended, with success or without."""
        self.joins -= 1
        if not self.joins:
            self._join_buffer = None

    def seat(self, member: Member, seq: int, epoch: str) -> Effects:
        """Take in a member that has a seat as of event `seq`; the member gets no events before `attach`."""
        effects = self._follow(self.sequencer.begin(seq, epoch))
        if self._join_buffer is not None and (ending := self._join_buffer.ending_of(member)) is not None:
            self._end((member,), ending, effects)
            return effects
        others = self.members.of(member.user_id)
        older = () if self.info.multiple_connections else others
        if others:
            member.messages_arrival = others[0].messages_arrival
        self.members.add(member)
        member.standing = Standing.BEHIND
        member.position = seq
        if self._join_buffer is not None and self._join_buffer.was_interrupted:
            # Redis knows which of them joined last, and whether the seat was lost since.
            effects.append(ReadSeats((*older, member)))
        else:
            self._end(older, close_codes.REPLACED, effects)
        return effects

    def attach(self, member: Member, seq: int) -> Effects:
        """Send the member every event after `seq` from now on: the member becomes live, or is ahead of the room.

        The member stays behind when the join buffer no longer has all events from `seq` to the room's last one.
        """
        last_seq = self.sequencer.last_seq
        if member.is_gone or last_seq is None:
            return ()
        if last_seq < seq:
            member.standing = Standing.AHEAD
            member.position = seq
            self._ahead.append(member)
            return ()
        late = [] if self._join_buffer is None else self._join_buffer.since(seq)
        if len(late) != last_seq - seq:
            return ()
        effects = self._outbox.take()
        self._make_live(member)
        if late:
            effects.append(Write((member,), b"".join(text_frame(event.body) for event in late)))
            ending = ended_by(late, member.user_id)
            if ending is not None:
                self._end((member,), ending, effects)
        return effects

    def suspend(self, member: Member) -> Effects:
        """Send the member no events until it is attached again; sets `member.position` to the seq of its last event."""
        effects: list[Effect] = []
        if member.standing is Standing.LIVE:
            effects = self._outbox.take()
            self._outbox.live.discard(member)
            assert self.sequencer.last_seq is not None
            member.position = self.sequencer.last_seq
            member.standing = Standing.BEHIND
        elif member.standing is Standing.AHEAD:
            self._ahead.remove(member)
            member.standing = Standing.BEHIND
        return effects

    def spend_message(self, member: Member, rate: Rate, now: float) -> float:
        """Count a message of the member's user; returns for how many seconds the user must wait first, else 0.0.

        A message that must wait does not count.
        """
        arrival = rate.after(member.messages_arrival, now)
        wait = rate.wait(arrival, now)
        if wait > 0:
            return wait
        member.messages_arrival = arrival
        if self.info.multiple_connections:
            for other in self.members.of(member.user_id):
                other.messages_arrival = arrival
        return 0.0

    def leave(self, member: Member) -> None:
        """Remove the member from the room."""
        if member.standing is Standing.AHEAD:
            self._ahead.remove(member)
        member.standing = Standing.GONE
        self._outbox.discard(member)
        self.members.discard(member)

    def end_all(self, ending: Ending) -> Effects:
        """End every member, after a flush of the queued events."""
        effects = self._outbox.take()
        self._end(self.members, ending, effects)
        return effects

    def end_those(self, is_ended: Callable[[Member], bool], ending: Ending) -> Effects:
        """End the members for which `is_ended` returns True, after a flush of the queued events."""
        ended = [member for member in self.members if is_ended(member)]
        if not ended:
            return ()
        effects = self._outbox.take()
        self._end(ended, ending, effects)
        return effects

    # Events from the channel

    def heard(self, event: Event) -> Effects:
        """An event arrived from the channel."""
        if event.seq:
            return self._follow(self.sequencer.heard(event))
        return self._heard_unsequenced(event)

    def catch_up(self) -> Effects:
        """The subscription was interrupted: read from Redis everything that the room may have missed."""
        # Seats and commits are read after the log: when Redis lost data, both tell of another history.
        self._is_check_due = True
        self._asked_commits = None
        if self._join_buffer is not None:
            self._join_buffer.was_interrupted = True
        if self._commit_waiters is not None:
            self._commit_waiters.doubt()
        return self._follow(self.sequencer.catch_up())

    # Answers of Redis

    def log_read(self, events: Sequence[Event], position: Position | None) -> Effects:
        """The answer to `ReadLog`."""
        return self._follow(self.sequencer.log_read(events, position))

    def fenced(self) -> Effects:
        """The answer to `Fence`."""
        return self._follow(self.sequencer.fenced())

    def commits_read(self, asked: ReadCommits, position: Position | None, refused: Iterable[int]) -> Effects:
        """The answer to `ReadCommits`; an answer that an interruption has overtaken shows nothing."""
        if asked is not self._asked_commits or self._commit_waiters is None:
            return ()
        self._asked_commits = None
        return () if position is None else self._commit_waiters.settle(position.persisted, refused)

    def seats_read(self, members: Iterable[Member], holders: Iterable[tuple[str, ...]]) -> Effects:
        """The answer to `ReadSeats`: for each member the ids of the connections that hold its user's seat."""
        if not self.sequencer.is_caught_up:  # the answer may tell of an event that was not handed out yet
            self._is_check_due = True
            return ()
        effects: list[Effect] = []
        held = [pair for pair in zip(members, holders, strict=True) if not pair[0].is_gone]
        if any(is_undecided(self.info, member, holding) for member, holding in held):
            effects.append(RetryLater(Step.SEATS))
        for member, ending in endings(self.info, *zip(*held, strict=True)) if held else ():
            self._end((member,), ending, effects)
        return effects

    def failed(self, step: Step, *, passes: bool) -> Effects:
        """A request to Redis failed: `Step.LOG` stands for `ReadLog` and `Fence`.

        `passes` says that Redis is unavailable for now, and did not refuse the request for good.
        """
        if step is Step.COMMITS:
            self._asked_commits = None
        return self._follow(self.sequencer.failed(passes=passes)) if step is Step.LOG else (RetryLater(step),)

    def tick(self, step: Step) -> Effects:
        """The retry delay of this step is over: ask Redis again."""
        if step is Step.LOG:
            return self._follow(self.sequencer.tick())
        return self._read_commits() if step is Step.COMMITS else self._read_seats()

    # Answers, flushes, commits, presence

    def answer(self, member: Member, frame: bytes) -> Effects:
        """Queue an answer for one member, for one write with the queued events."""
        return (SCHEDULE_FLUSH,) if self._outbox.answer(member, frame) else ()

    def flush(self) -> Effects:
        """Send the queued events and answers."""
        return self._outbox.take()

    def await_commit(self, seq: int, callback: CommitCallback) -> Effects:
        """Call `callback` once it is known whether event `seq` is committed in Postgres."""
        return self._waiters().wait(seq, callback)

    def presence_due(self) -> Effects:
        """The presence interval is over: send the members the number of users."""
        self._is_presence_due = False
        effects: list[Effect] = []
        if self.members:
            self._queue(server_events.presence_changed(self._now(), self._user_count), effects)
        return effects

    # Results of the sequencer

    def _follow(self, results: Results) -> list[Effect]:
        effects: list[Effect] = []
        for result in results:
            if isinstance(result, Event):
                self._deliver(result, effects)
            elif isinstance(result, Missing):
                effects.append(ReportGap(result.first, result.last))
                self._queue(server_events.gap(result.first, result.last), effects)
                self._is_check_due = True  # a removal may be among the events that are gone
                if self._ahead:
                    self._admit(result.last, effects)
            elif isinstance(result, Lost):
                effects += self.end_all(close_codes.RESYNC)
                if self._join_buffer is not None:
                    self._join_buffer.recent.clear()
                if self._commit_waiters is not None:
                    self._asked_commits = None
                    effects += self._commit_waiters.lose()
            else:
                effects.append(result)
        if self._is_check_due and self.sequencer.is_caught_up:
            self._is_check_due = False
            effects += (*self._read_commits(), *self._read_seats())
        return effects

    def _deliver(self, event: Event, effects: list[Effect]) -> None:
        """Send the next event to every live member."""
        kind = event.kind
        if kind is EventKind.USER_REMOVED:
            self._remove(event.user_id, effects)
        self._queue(event.body, effects)
        if kind is EventKind.MESSAGE and self.info.spirit:
            self._queue(ephemeral("spirit_thinking", self._now(), Empty()), effects)
        if self._join_buffer is not None:
            self._join_buffer.recent.append(event)
        if self._ahead:
            self._admit(event.seq, effects)
        if kind is EventKind.SESSION_CLOSED:
            # A member that lacks earlier events is not ended here: its recovery ends the member at this event.
            effects += self._outbox.take()
            self._end(self._outbox.live, close_codes.SESSION_CLOSED, effects)

    def _admit(self, last_seq: int, effects: list[Effect]) -> None:
        """The room has reached `last_seq`: members that were ahead of the room get events from the next one on."""
        effects += self._outbox.take()
        for member in [member for member in self._ahead if member.position <= last_seq]:
            if member.position == last_seq:
                self._ahead.remove(member)
                self._make_live(member)
            else:  # events between are missing, so that the member can't get its next event
                self._end((member,), close_codes.RESYNC, effects)

    def _make_live(self, member: Member) -> None:
        self._outbox.live.add(member)
        member.standing = Standing.LIVE

    # Events that are not sequenced

    def _heard_unsequenced(self, event: Event) -> Effects:
        effects: list[Effect] = []
        match event.kind:
            case EventKind.TO_OTHERS:
                self._send_to_others(event, effects)
            case EventKind.REPLACED:
                self._replace(event.user_id, event.body.decode(), effects)
            case EventKind.PRESENCE_CHANGED:
                self._presence(int(event.body), effects)
            case EventKind.USER_REMOVED:
                if self._join_buffer is not None:
                    self._join_buffer.gone[event.user_id] = close_codes.REMOVED
                self._remove(event.user_id, effects)
            case EventKind.COMMITTED:
                self._committed(int(event.body), effects)
            case EventKind.REFUSED:
                effects += self._waiters().refused(int(event.body))
            case _:
                self._queue(event.body, effects)
        return effects

    def _send_to_others(self, event: Event, effects: list[Effect]) -> None:
        effects += self._outbox.take()
        frame = text_frame(event.body)
        own = self.members.of(event.user_id)
        others = [member for member in self._outbox.live if member not in own]
        effects.append(Write(others, frame, 1, 1))

    def _committed(self, seq: int, effects: list[Effect]) -> None:
        effects += self._waiters().committed(seq)
        asked = [member for member in self._outbox.live if member.wants_persisted]
        if asked:
            effects.append(Write(asked, text_frame(server_events.persisted(seq))))

    def _replace(self, user_id: str, connection_id: str, effects: list[Effect]) -> None:
        # The event names the replaced connection, not the new one, so that a late event can't end a newer connection.
        if self._join_buffer is not None:
            self._join_buffer.gone[connection_id] = close_codes.REPLACED
        replaced = tuple(member for member in self.members.of(user_id) if member.id == connection_id)
        self._end(replaced, close_codes.REPLACED, effects)

    def _remove(self, user_id: str, effects: list[Effect]) -> None:
        members = self.members.of(user_id)
        if members:
            effects += self._outbox.take()
            self._end(members, close_codes.REMOVED, effects)

    def _presence(self, user_count: int, effects: list[Effect]) -> None:
        # At most one `presence_changed` a second: later changes within the second go out with the first one.
        self._user_count = user_count
        if not self._is_presence_due:
            self._is_presence_due = True
            effects.append(AnnouncePresence())

    # Shared

    def _queue(self, body: bytes, effects: list[Effect]) -> None:
        if self._outbox.queue(body):
            effects.append(SCHEDULE_FLUSH)

    def _end(self, members: Iterable[Member], ending: Ending, effects: list[Effect]) -> None:
        ended = tuple(members)
        for member in ended:
            self.leave(member)
        if ended:
            effects.append(End(ended, ending))

    def _waiters(self) -> CommitWaiters:
        if self._commit_waiters is None:
            self._commit_waiters = CommitWaiters()
        return self._commit_waiters

    def _read_commits(self) -> Effects:
        waiters = self._commit_waiters
        if waiters is None or not waiters.is_in_doubt or self._asked_commits is not None:
            return ()
        if not self.sequencer.is_caught_up:
            self._is_check_due = True
            return ()
        self._asked_commits = ReadCommits(waiters.seqs)
        return (self._asked_commits,)

    def _read_seats(self) -> Effects:
        members = tuple(self.members)
        return (ReadSeats(members),) if members else ()
