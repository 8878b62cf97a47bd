"""Carries out the effects that rooms return: writes to members, requests to Redis, timers, callbacks."""

import asyncio
from collections.abc import Callable
from functools import partial

import structlog

from broker.errors import BrokerError, BrokerUnavailableError
from broker.redis.futures import ignore_result
from broker.sessions.event_log import Event, EventLog
from broker.sessions.live_sessions import LiveSessions, Position
from gateway.counters import Counters
from gateway.rooms.effects import (
    AnnouncePresence,
    Answer,
    CommitCallback,
    CommitOutcome,
    Effects,
    End,
    Fence,
    ReadCommits,
    ReadLog,
    ReadSeats,
    ReportGap,
    RetryLater,
    ScheduleFlush,
    Step,
    Tell,
    Write,
)
from gateway.rooms.flush_scheduler import FlushScheduler
from gateway.rooms.member import Member, Standing
from gateway.rooms.membership import Membership
from gateway.rooms.room import Room

RETRY_SECONDS = 0.5
PRESENCE_SECONDS = 1.0

log = structlog.get_logger()


class RoomDriver:
    """One driver for all rooms. `retry_seconds` is the delay before Redis is asked again after a failure."""

    def __init__(
        self,
        sessions: LiveSessions,
        event_log: EventLog,
        scheduler: FlushScheduler,
        counters: Counters,
        *,
        retry_seconds: float = RETRY_SECONDS,
        presence_seconds: float = PRESENCE_SECONDS,
    ) -> None:
        self._sessions = sessions
        self._event_log = event_log
        self._scheduler = scheduler
        self._counters = counters
        self._retry_seconds = retry_seconds
        self._presence_seconds = presence_seconds
        self._loop = asyncio.get_running_loop()

    def perform(self, room: Room, effects: Effects) -> None:  # noqa: C901, PLR0912 - one branch for each effect
        """Carry out the effects of the room, in order."""
        for effect in effects:
            match effect:
                case Write():  # this and the next one for each message
                    data, members = effect.data, effect.members
                    for member in members:
                        member.carrier.write(data)
                    if effect.events:
                        sockets = len(members)
                        self._counters.delivered(effect.new_events, effect.events * sockets, len(data) * sockets)
                case ScheduleFlush():
                    self._scheduler.schedule(partial(self._flush, room))
                case Answer(member, data):
                    member.carrier.answer(data)
                case End(members, ending):
                    for member in members:
                        member.carrier.end(ending)
                case Tell(callback, outcome):
                    callback(outcome)
                case ReadLog(first):
                    self._read_log(room, first)
                case ReadSeats(members):
                    self._read_seats(room, members)
                case ReadCommits():
                    self._read_commits(room, effect)
                case Fence(epoch, seen, is_rewritten):
                    fenced = self._sessions.fence(room.info.id, epoch=epoch, seen=seen, is_rewritten=is_rewritten)
                    fenced.add_done_callback(partial(self._answered, room, Step.LOG, lambda _: room.fenced()))
                case RetryLater(step):
                    self._loop.call_later(self._retry_seconds, self._tick, room, step)
                case AnnouncePresence():
                    self._loop.call_later(self._presence_seconds, self._announce_presence, room)
                case ReportGap(first, last):
                    log.warning("room.gap", session_id=room.info.id, first=first, last=last)
                    self._counters.gap_events += last - first + 1

    # Requests of memberships

    def seat(self, member: Membership, seq: int, epoch: str) -> None:
        """Take the member into its room, with a seat as of event `seq`; the room may end the member at once."""
        self.perform(member.room, member.room.seat(member, seq, epoch))

    def attach(self, member: Membership, seq: int) -> bool:
        """Send the member every event after `seq`; False when the room no longer has some of these events."""
        self.perform(member.room, member.room.attach(member, seq))
        return member.standing is not Standing.BEHIND

    def suspend(self, member: Membership) -> int:
        """Send the member nothing until it is attached again; returns the seq of the last event that the member has."""
        self.perform(member.room, member.room.suspend(member))
        return member.position

    def answer(self, member: Membership, frame: bytes) -> None:
        """Send a member an answer: during a read from Redis together with the events of that read, else at once."""
        if self._scheduler.is_reading:
            self.perform(member.room, member.room.answer(member, frame))
        else:
            member.carrier.answer(frame)

    def await_commit(self, room: Room, seq: int, callback: CommitCallback) -> None:
        """Call `callback` once it is known whether event `seq` is committed in Postgres."""
        self.perform(room, room.await_commit(seq, callback))

    async def commit_outcome(self, room: Room, seq: int) -> CommitOutcome:
        """Wait until it is known whether event `seq` is committed in Postgres."""
        outcome: asyncio.Future[CommitOutcome] = self._loop.create_future()

        def settle(result: CommitOutcome) -> None:
            if not outcome.done():
                outcome.set_result(result)

        self.await_commit(room, seq, settle)
        return await outcome

    # How effects are carried out

    def _flush(self, room: Room) -> None:
        self.perform(room, room.flush())

    def _tick(self, room: Room, step: Step) -> None:
        self.perform(room, room.tick(step))

    def _announce_presence(self, room: Room) -> None:
        self.perform(room, room.presence_due())

    def _read_log(self, room: Room, first: int) -> None:
        self._counters.log_reads += 1
        events = self._event_log.range(room.info.id, first)
        events.add_done_callback(ignore_result)
        position = self._sessions.position(room.info.id)
        position.add_done_callback(ignore_result)
        position.add_done_callback(partial(self._log_read, room, events))

    def _log_read(
        self, room: Room, events: "asyncio.Future[list[Event]]", position: "asyncio.Future[Position | None]"
    ) -> None:
        # Redis answers in the order of the requests, so `events` is done too.
        error = events.exception() or position.exception()
        if isinstance(error, BrokerError):
            self.perform(room, room.failed(Step.LOG, passes=isinstance(error, BrokerUnavailableError)))
        else:
            self.perform(room, room.log_read(events.result(), position.result()))

    def _read_commits(self, room: Room, asked: ReadCommits) -> None:
        session_id = room.info.id
        both = asyncio.gather(self._sessions.position(session_id), self._sessions.refused(session_id, asked.seqs))
        read = partial(room.commits_read, asked)
        both.add_done_callback(partial(self._answered, room, Step.COMMITS, lambda found: read(*found)))

    def _read_seats(self, room: Room, members: tuple[Member, ...]) -> None:
        holders = self._sessions.seat_holders(room.info.id, [member.user_id for member in members])
        holders.add_done_callback(partial(self._answered, room, Step.SEATS, partial(room.seats_read, members)))

    def _answered(self, room: Room, step: Step, read: Callable[..., Effects], answer: "asyncio.Future[object]") -> None:
        error = answer.exception()
        if isinstance(error, BrokerError):
            self.perform(room, room.failed(step, passes=isinstance(error, BrokerUnavailableError)))
        else:
            self.perform(room, read(answer.result()))
