"""Random histories of one room: clients come, lag, resume and go while Redis and the channel do what they must not.

A history holds the promises of `docs/protocol.md` after every step, or raises AssertionError.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count
from random import Random
from typing import Literal

import msgspec

from broker.events import User
from broker.sessions.event_log import Event, EventKind
from broker.sessions.live_sessions import SessionInfo
from gateway.protocol import close_codes
from gateway.protocol.close_codes import Ending
from gateway.protocol.frames import text_frame
from gateway.recovery.cursor import Cursor, OutrunError
from gateway.rooms.effects import (
    AnnouncePresence,
    Answer,
    CommitOutcome,
    Effect,
    Effects,
    End,
    Fence,
    ReadCommits,
    ReadLog,
    ReadSeats,
    RetryLater,
    ScheduleFlush,
    Step,
    Tell,
    Write,
)
from gateway.rooms.join_buffer import JoinBuffer, ended_by
from gateway.rooms.member import Member, Standing
from gateway.rooms.room import Room
from gateway.rooms.sequencer import Sequencer
from tests.unit.gateway.rooms.memberships import TS
from tests.unit.gateway.rooms.simulated_redis import NOBODY, SimulatedRedis

MAX_ATTEMPTS = 3
PAGE_EVENTS = 3
JOIN_BUFFER_EVENTS = 4
USERS = ("ana", "ben", "cem")
MAX_CLIENTS = 5


class Client:
    """One connection that records what it gets, and refuses what breaks a promise. It carries its membership."""

    unsent_bytes = 0

    def __init__(self, history: "History", user_id: str, connection_id: str, resume: tuple[str, int] | None) -> None:
        self.history = history
        self.id = connection_id
        self.user_id = user_id
        self.resume = resume
        self.resumed_body: bytes | None = None
        self.seat: tuple[int, str] | None = None
        self.member: Member | None = None
        self.cursor: Cursor | None = None
        self.is_admitted = False
        self.is_kept = False
        self.epoch = ""
        self.seq = 0
        # The body of the event at `seq`, when the client got that event.
        self.last_body: bytes | None = None
        self.ending: Ending | None = None
        self.has_left = False
        self.has_to_end = False
        self.unanswered = 0

    @property
    def is_here(self) -> bool:
        """Whether the client is connected and welcome."""
        return self.member is not None and self.ending is None and not self.has_left

    @property
    def is_live(self) -> bool:
        """Whether the room sends it every event."""
        return self.member is not None and self.member.standing is Standing.LIVE

    @property
    def is_ahead(self) -> bool:
        """Whether the client waits until the room has reached it."""
        return self.member is not None and self.member.standing is Standing.AHEAD

    def write(self, data: bytes, *, is_live: bool = True) -> None:
        """Get frames."""
        assert self.is_here, f"{self.id} got {data!r} after its end"
        for payload in payloads(data):
            found = msgspec.json.decode(payload)
            for body in _bodies(payload, found):
                self._hear(body, is_live=is_live)

    def answer(self, data: bytes) -> None:
        """Get an answer while events are missing."""
        self.write(data)

    def end(self, ending: Ending) -> None:
        """Hear why the connection ends."""
        assert not self.has_left, f"{self.id} had left before its end"
        assert self.ending is None, f"{self.id} ended twice"
        self.ending = ending
        self.history.check_ending(self, ending)

    def pause_reading(self) -> None:
        """A room never asks for that."""
        raise AssertionError

    def resume_reading(self) -> None:
        """A room never asks for that."""
        raise AssertionError

    def limited(self, what: str, wait_seconds: float) -> None:
        """A room never asks for that."""
        raise AssertionError(what, wait_seconds)

    def _hear(self, body: bytes, *, is_live: bool) -> None:
        event = msgspec.json.decode(body)
        match event["type"]:
            case "gap":
                assert self.history.has_trouble, f"{self.id} got {event} though Redis lost nothing"
                assert event["data"]["from"] == self.seq + 1, f"{self.id} has {self.seq}, and got {event}"
                self.seq = event["data"]["to"]
                self.last_body = None
            case "ack":
                self.unanswered -= 1
                assert self.unanswered >= 0, f"{self.id} got an answer twice"
            case "user_typing":
                assert event["user"] != self.user_id, f"{self.id} was told that its own user types"
            case "spirit_thinking":
                assert self.history.info.spirit, "a session without a spirit has no thinking spirit"
            case "persisted":
                assert event["data"]["seq"] <= self.history.redis.highest_seq
            case "presence_changed":
                assert event["data"]["user_count"] in self.history.user_counts, (
                    "a number of users was told that nobody said"
                )
            case _ if "seq" in event:
                self._hear_sequenced(body, event["type"], event["seq"], is_live=is_live)

    def _hear_sequenced(self, body: bytes, kind: str, seq: int, *, is_live: bool) -> None:
        epoch = self.history.redis.epoch_of[body]
        assert epoch == self.epoch, f"{self.id} is in {self.epoch}, and got an event of {epoch}"
        assert seq == self.seq + 1, f"{self.id} has {self.seq}, and got {seq}"
        follows = self.history.redis.previous[body]
        # A recovery may read what Redis has rewritten before the room has heard of it or asked; then the room ends it.
        if is_live or (self.history.room.sequencer.is_caught_up and not self.history.redis.is_rewritten):
            assert self.last_body in (None, follows), f"{self.id} has {self.last_body!r}, and {seq} follows {follows!r}"
        self.seq, self.last_body = seq, body
        if is_live:
            before = self.history.handed_out.get((epoch, seq - 1))
            assert before is None or before == follows, f"{seq} of {epoch} follows {follows!r}, and not {before!r}"
            known = self.history.handed_out.setdefault((epoch, seq), body)
            assert known == body, f"{seq} of {epoch} was {known!r}, and is {body!r}"
        is_own_removal = kind == "user_removed" and self.history.redis.removed.get(self.user_id) == seq
        self.has_to_end |= kind == "session_closed" or is_own_removal


class Question(msgspec.Struct):
    """What was asked of Redis on one connection: parts are carried out in order, and the answer follows."""

    room: Room
    parts: list[Callable[[], object]]
    answer: Callable[..., None]
    fail: Callable[[], None]
    results: list[object]


class Waiter(msgspec.Struct):
    """Somebody who waits for a commit."""

    room: Room
    event: Event
    epoch: str
    outcome: CommitOutcome | None = None


class History:
    """One session, one room at a time, its clients. Every public method of `ACTIONS` is one step."""

    def __init__(self, info: SessionInfo) -> None:
        self.info = info
        self.redis = SimulatedRedis(info)
        self.room = self._make_room()
        self.clients: list[Client] = []
        self.handed_out: dict[tuple[str, int], bytes] = {}
        self.user_counts = {0}
        self.has_trouble = False
        self.steps = 0
        self._joining: list[Client] = []
        self._questions: list[Question] = []
        self._ticks: list[Step] = []
        self._presence_timers = 0
        self._is_flush_scheduled = False
        self._failures = 0
        self._heard_removals: set[str] = set()
        self._is_loss_unheard = False
        self._is_break_unheard = False
        self._live_before: set[Client] = set()
        self._last_before: int | None = None
        self._waiters: list[Waiter] = []
        self._ids = count(1)

    # What people do

    def join(self, choice: int) -> None:
        """A client connects; it resumes when an earlier connection of the user can be."""
        user_id = USERS[choice % len(USERS)]
        if len(self._here()) + len(self._joining) >= MAX_CLIENTS or any(
            client.user_id == user_id and not client.is_admitted for client in self._joining
        ):
            return
        ended = [
            client for client in self.clients if client.user_id == user_id and client.ending and client.seat is not None
        ]
        resume = (ended[-1].epoch, ended[-1].seq) if ended and choice % 2 else None
        client = Client(self, user_id, f"c{next(self._ids)}", resume)
        client.resumed_body = ended[-1].last_body if resume else None
        self._expect_join()
        self.redis.is_subscribed = True
        self._joining.append(client)

        def take() -> None:
            client.seat = self.redis.seat(user_id, client.id)

        def answered(_: object) -> None:
            client.is_admitted = client.seat is not None
            if not client.is_admitted:
                self._join_is_over(client)

        self._ask((take,), answered, lambda: self._join_is_over(client))

    def seat(self, choice: int) -> None:
        """A join goes on: the client has its seat, and gets its welcome."""
        ready = [client for client in self._joining if client.is_admitted]
        if not ready:
            return
        # Of one user the older connection is seated first.
        chosen = ready[choice % len(ready)]
        client = next(other for other in ready if other.user_id == chosen.user_id)
        assert client.seat is not None
        seq, epoch = client.seat
        older = self._here()
        client.member = Member(client.id, User(client.user_id, client.user_id), client)
        client.member.wants_batches = choice % 3 == 0
        client.member.wants_persisted = choice % 4 == 0
        client.epoch = epoch
        is_resumed = client.resume is not None and client.resume[0] == epoch and client.resume[1] <= seq
        client.seq = client.resume[1] if is_resumed and client.resume is not None else seq
        client.last_body = client.resumed_body if is_resumed else None
        self.clients.append(client)
        self._call(self.room.seat(client.member, seq, epoch))
        assert client.member.is_gone or client.user_id not in self._heard_removals, (
            f"{client.id} was removed, and stays"
        )
        if not client.member.is_gone:
            if not self.info.multiple_connections:
                own = [other for other in older if other.user_id == client.user_id and other.is_here]
                assert not own or self._are_seats_asked(), "an older connection of the user was not replaced"
            client.cursor = Cursor(client.seq)
            if client.seq < seq or not self._attach(client):
                self._recover(client)
        self._join_is_over(client)

    def leave(self, choice: int) -> None:
        """A client leaves, or is lost."""
        if client := self._one_of(self._here(), choice):
            assert client.member is not None
            client.has_left = True
            self.redis.leave(client.user_id, client.id)
            self.room.leave(client.member)
            self._stop_recovery(client)

    def lag(self, choice: int) -> None:
        """A client reads too slowly: it gets nothing until it has read, and then what it lacks."""
        found = [client for client in self._here() if client.is_live]
        if client := self._one_of(found, choice):
            assert client.member is not None
            self._call(self.room.suspend(client.member))
            assert client.member.position == client.seq, f"{client.id} has {client.seq}, the room says otherwise"
            client.cursor = Cursor(client.seq)
            self._recover(client)

    def suspend_ahead(self, choice: int) -> None:
        """The buffer of a client is full again as soon as it is attached."""
        found = [client for client in self._here() if client.member and client.member.standing is Standing.AHEAD]
        if client := self._one_of(found, choice):
            assert client.member is not None
            self._call(self.room.suspend(client.member))
            client.cursor = Cursor(client.member.position)
            self._recover(client)

    def say(self, choice: int) -> None:
        """Somebody says something; some wait until it is committed."""
        if not self.redis.can_publish:
            return
        event = self.redis.emit(EventKind.MESSAGE, USERS[choice % len(USERS)])
        if choice % 3 == 0 and not self.room.is_empty and not self.redis.is_rewritten:
            self._await_commit(event)

    def say_much(self, choice: int) -> None:
        """Several messages at once: more than a page, or than a join buffer keeps."""
        for _ in range(2 + choice % 5):
            self.say(1)

    def ack(self, choice: int) -> None:
        """A client's command is answered."""
        if client := self._one_of(self._here(), choice):
            assert client.member is not None
            client.unanswered += 1
            self._call(self.room.answer(client.member, text_frame(b'{"type":"ack"}')))

    def type(self, choice: int) -> None:
        """Somebody types."""
        user_id = USERS[choice % len(USERS)]
        body = b'{"type":"user_typing","user":"%s"}' % user_id.encode()
        self.redis.publish(Event(0, EventKind.TO_OTHERS, user_id, body))

    def think(self, _: int) -> None:
        """A server sends an event that is not sequenced."""
        self.redis.publish(Event(0, EventKind.TO_ALL, NOBODY, b'{"type":"note"}'))

    def remove(self, choice: int) -> None:
        """The host removes a user."""
        user_id = USERS[choice % len(USERS)]
        if choice % 2 and self.redis.can_publish and user_id in self.redis.holders:
            self.redis.remove(user_id)

    def close(self, choice: int) -> None:
        """The host closes the session."""
        if choice % 4 == 0 and self.redis.can_publish:
            self.redis.close()

    def end_all(self, choice: int) -> None:
        """The gateway is stopped."""
        if choice % 8 == 0:
            live = [client for client in self._here() if client.is_live]
            last_seq = self.room.sequencer.last_seq
            self._call(self.room.end_all(close_codes.RESTART))
            assert all(client.seq == last_seq for client in live), "what was queued did not leave before the end"

    def commit(self, choice: int) -> None:
        """The worker commits everything, or Postgres refuses the newest event."""
        if choice % 4 == 0 and self.redis.log and not self.redis.is_rewritten:
            newest = self.redis.log[-1]
            if newest.body not in self.redis.committed:
                self.redis.refuse(newest)
        else:
            self.redis.commit()

    def presence(self, choice: int) -> None:
        """The number of users changes in a session with summary presence."""
        if self.info.presence == "summary":
            self.redis.publish(Event(0, EventKind.PRESENCE_CHANGED, NOBODY, b"%d" % choice))

    # What the channel does

    def deliver(self, _: int) -> None:
        """The room hears the next event."""
        if self.redis.channel:
            self._hear(self.redis.channel.popleft())

    def deliver_all(self, _: int) -> None:
        """The room hears everything that waits."""
        while self.redis.channel:
            self._hear(self.redis.channel.popleft())

    def lose(self, _: int) -> None:
        """An event is lost on the way; a refusal only by a break, of which the room is told."""
        if self.redis.channel and not self.redis.is_rewritten and self.redis.channel[0].kind is not EventKind.REFUSED:
            event = self.redis.channel.popleft()
            self._is_loss_unheard = True
            if not event.seq:
                self._is_break_unheard = True

    def delay(self, _: int) -> None:
        """An event comes after all others."""
        if self.redis.channel and self.redis.channel[0].seq and not self.redis.is_rewritten:
            self.redis.channel.rotate(-1)

    def repeat(self, _: int) -> None:
        """An event comes, and once more after all others."""
        if self.redis.channel and self.redis.channel[0].seq and not self.redis.is_rewritten:
            event = self.redis.channel.popleft()
            self._hear(event)
            self.redis.channel.append(event)

    def break_off(self, choice: int) -> None:
        """The subscription breaks: what was under way is lost, and the room is told."""
        for _ in range(min(choice // 4, len(self.redis.channel))):
            self._hear(self.redis.channel.popleft())
        self.redis.lose_channel()
        self._catch_up()

    # What Redis does

    def carry_out(self, choice: int) -> None:
        """Redis carries out the next part of what was asked."""
        for question in self._questions:
            if len(question.results) < len(question.parts):
                question.results.append(question.parts[len(question.results)]())
                if choice % 2:
                    return

    def answer(self, _: int) -> None:
        """The oldest question is answered, when it is carried out."""
        if self._questions and len(self._questions[0].results) == len(self._questions[0].parts):
            question = self._questions.pop(0)
            question.answer(*question.results)

    def fail(self, _: int) -> None:
        """The link breaks: no question is answered, though some may have been carried out."""
        failed, self._questions = self._questions, []
        for question in failed:
            question.fail()

    def trim(self, choice: int) -> None:
        """The log is trimmed to its newest events."""
        kept = choice % 4
        if len(self.redis.log) > kept:
            self.has_trouble = True
            self.redis.trim(kept)

    def snapshot(self, _: int) -> None:
        """Redis saves what it holds."""
        self.redis.take_snapshot()

    def go_back(self, choice: int) -> None:
        """Redis comes back with its last snapshot, and the link breaks, or nobody notices."""
        is_filling = self._questions or Step.LOG in self._ticks
        if choice % 2 and (self.redis.channel or is_filling):
            return
        self.has_trouble = True
        self.redis.go_back()
        if not choice % 2:
            self.redis.lose_channel()
            self.fail(0)
            self._catch_up()

    def rewrite(self, choice: int) -> None:
        """Redis goes back, and gives the lost numbers to other events at once."""
        epoch, seq = self.redis.epoch, self.redis.seq
        self.go_back(choice)
        if self.redis.epoch == epoch and self.redis.can_publish:
            for _ in range(min(8, seq - self.redis.seq + choice % 3)):
                self.redis.emit(EventKind.MESSAGE)

    def fence_elsewhere(self, choice: int) -> None:
        """Another gateway gives the session another epoch."""
        if choice % 2:
            self.has_trouble = True
            self.redis.fence(self.redis.epoch, self.redis.seq, is_rewritten=True)

    def forget(self, choice: int) -> None:
        """Redis loses everything."""
        if choice % 4 == 0:
            self.has_trouble = True
            self.redis.forget()
            self.redis.lose_channel()
            self.fail(0)
            self._catch_up()

    # What time does

    def tick(self, choice: int) -> None:
        """A retry delay is over."""
        if self._ticks:
            self._call(self.room.tick(self._ticks.pop(choice % len(self._ticks))))

    def flush(self, _: int) -> None:
        """The read is over: what is queued leaves, in one write for each client."""
        if not self._is_flush_scheduled:
            return
        self._is_flush_scheduled = False
        effects = self.room.flush()
        writes = [member for effect in effects if isinstance(effect, Write) for member in effect.members]
        answered = [effect.member for effect in effects if isinstance(effect, Answer)]
        assert len(writes) == len(set(writes)), "a client got two writes in one flush"
        assert not any(self._client(member).is_live for member in answered), "an answer left apart from the events"
        self._call(effects)
        for client in self._here():
            assert not client.unanswered, f"{client.id} was not answered by the flush"

    def presence_due(self, _: int) -> None:
        """The presence interval is over."""
        if self._presence_timers:
            self._presence_timers -= 1
            self._call(self.room.presence_due())

    # A whole history

    def step(self, action: str, choice: int) -> None:
        """Carry out one action, and check the promises."""
        self.steps += 1
        getattr(self, action)(choice)
        self._check()

    def settle(self) -> None:
        """Redis stays up, everything is answered and heard: every client has everything, or may come back."""
        self._settle()
        if not self.redis.is_known:  # the next renewal of the gateway's lease finds a Redis that has lost it
            self._catch_up()
            self._settle()
        is_epoch_unheard = any(client.epoch != self.redis.epoch or client.is_ahead for client in self._here())
        is_ahead = any(client.seq > self.redis.seq for client in self._here())
        if self.redis.can_publish and (is_epoch_unheard or is_ahead):  # heard of by the next event, and not before
            self.redis.emit(EventKind.MESSAGE)
            self._settle()  # nothing is committed before the room has fenced
        self.redis.is_rewritten = False  # nobody here had what was lost
        if self.redis.persisted != self.redis.seq:
            self.redis.commit()
        self._settle()
        for client in self._here():
            is_one = sum(other.user_id == client.user_id for other in self._here()) == 1
            assert is_one or self.info.multiple_connections, f"{client.user_id} has two connections"
            assert client.id in self.redis.holders.get(client.user_id, ()), f"{client.id} has no seat"
            assert client.is_live, f"{client.id} never became live"
            assert (client.epoch, client.seq) == (self.redis.epoch, self.redis.seq), f"{client.id} lacks events"
        for waiter in self._waiters:
            if waiter.room is self.room and waiter.epoch == self.redis.epoch and not self.room.is_empty:
                assert waiter.outcome is not None or waiter.event not in self.redis.log, "a commit was told to nobody"

    def _settle(self) -> None:
        for turn in range(400):
            if not self._settle_once():
                return
            self._check()
            assert turn < 399, "the room comes to no rest"

    def _settle_once(self) -> bool:
        """Let everything happen that can; returns whether anything did."""
        if self._is_loss_unheard or self._is_break_unheard:
            self._catch_up()
            return True
        for isdue, action in (
            (bool(self.redis.channel), self.deliver_all),
            (bool(self._questions), self.carry_out),
            (bool(self._ticks), self.tick),
            (self._is_flush_scheduled, self.flush),
            (bool(self._presence_timers), self.presence_due),
            (bool(self._joining), self.seat),
        ):
            if isdue:
                answers = 0
                while action == self.carry_out and self._questions:
                    answers += 1
                    assert answers < 1000, "there is always another question"
                    self.carry_out(0)
                    self.answer(0)
                if action != self.carry_out:
                    action(0)
                return True
        return False

    # Checks

    def check_ending(self, client: Client, ending: Ending) -> None:
        """Refuse an end that nothing has brought about, or that comes before what has to come first."""
        redis = self.redis
        is_live = client in self._live_before
        if ending is close_codes.REMOVED:
            assert client.user_id in redis.removed, f"{client.id} ended as removed, which nobody did"
            seq = redis.removed[client.user_id]
            if is_live and seq:
                assert client.seq in (seq, seq - 1), f"{client.id} has {client.seq}, and was removed at {seq}"
        elif ending is close_codes.REPLACED:
            assert client.id in redis.replaced, f"{client.id} ended as replaced, which nobody did"
        elif ending is close_codes.SESSION_CLOSED:
            assert redis.was_closed, f"{client.id} ended as if the session were closed"
            assert client.has_to_end, f"{client.id} ended before the event that closes the session"
        elif ending is close_codes.RESYNC:
            is_known = self.has_trouble or client.user_id in redis.removed or redis.was_closed
            assert is_known, f"{client.id} has to come back though Redis lost nothing"
            if is_live and self._last_before is not None:
                assert client.seq >= self._last_before, f"{client.id} ended before what was queued"

    def _check(self) -> None:
        for client in self.clients:
            if client.is_here:
                assert client.member is not None
                assert not client.has_to_end, f"{client.id} was removed or its session closed, and goes on"
                assert not client.member.is_gone, f"{client.id} is gone and was not told"
                if client.is_live:
                    assert client.epoch == self.room.sequencer.epoch, f"{client.id} lives in an old epoch"
        assert self._presence_timers <= 1, "presence is to be told twice"
        asked = sum(
            question.room is self.room and question.answer in self._log_answers() for question in self._questions
        )
        assert asked + self._ticks.count(Step.LOG) <= 1, "the log is asked for twice at once"
        if self.redis.is_rewritten and not self._can_room_tell():
            # The gateways compare with Postgres as soon as their link is up, and then ask every room again.
            self.redis.fence(self.redis.epoch, self.redis.seq, is_rewritten=True)
            self._catch_up()
        if self.room.sequencer.last_seq is None:  # everybody was sent away, and comes back in another epoch
            self.handed_out.clear()
        if self.room.is_empty:
            self._drop_room()

    def _can_room_tell(self) -> bool:
        """Whether the room has handed out the last event that anybody has whom it knows or will know."""
        last_seq = self.room.sequencer.last_seq or 0
        has_handed_out = self.room.sequencer._last_body is not None and not any(
            waiter.outcome is None and waiter.event.seq > last_seq for waiter in self._waiters
        )
        is_anybody_ahead = any(member.standing is Standing.AHEAD for member in self.room.members)
        return has_handed_out and not is_anybody_ahead and not any(client.seat for client in self._joining)

    def _log_answers(self) -> tuple[Callable[..., None], ...]:
        return (self._log_read, self._fenced)

    # How effects are carried out

    def _call(self, effects: Effects) -> None:
        self._perform(self.room, effects)

    def _perform(self, room: Room, effects: Effects) -> None:
        for effect in effects:
            if room is self.room:
                self._carry(effect)

    def _carry(self, effect: Effect) -> None:  # noqa: C901, PLR0912 - one branch for each effect, as in the room driver
        match effect:
            case ScheduleFlush():
                self._is_flush_scheduled = True
            case Write(members, data):
                for member in members:
                    member.carrier.write(data)
            case Answer(member, data):
                member.carrier.answer(data)
            case End(members, ending):
                for member in members:
                    member.carrier.end(ending)
                    self._ended(self._client(member))
            case Tell(callback, outcome):
                callback(outcome)
            case ReadLog(first):
                self._ask((lambda: self.redis.range(first), self.redis.position), self._log_read, self._log_failed)
            case Fence(epoch, seen, is_rewritten):
                fence = partial(self._fence, epoch, seen, is_rewritten=is_rewritten)
                self._ask((fence,), self._fenced, self._log_failed)
            case ReadCommits(seqs):
                parts = (self.redis.position, partial(self.redis.refused_among, seqs))
                self._ask(parts, partial(self._commits_read, effect), partial(self._failed, Step.COMMITS))
            case ReadSeats(members):
                holders = partial(self._holders, members)
                self._ask((holders,), partial(self._seats_read, members), partial(self._failed, Step.SEATS))
            case RetryLater(step):
                self._ticks.append(step)
            case AnnouncePresence():
                self._presence_timers += 1

    def _ask(
        self, parts: Sequence[Callable[[], object]], answer: Callable[..., None], fail: Callable[[], None]
    ) -> None:
        self._questions.append(Question(self.room, list(parts), answer, fail, []))

    def _log_read(self, events: Sequence[Event], position: object) -> None:
        self._failures = 0
        self._remember()
        self._call(self.room.log_read(events, position))  # type: ignore[arg-type]

    def _fence(self, epoch: str, seen: int, *, is_rewritten: bool) -> None:
        self.redis.fence(epoch, seen, is_rewritten=is_rewritten)
        is_over = self.redis.epoch != epoch or not self.redis.is_rewritten
        assert is_over, f"the room has fenced {epoch}, which goes on with other events"

    def _fenced(self, _: object) -> None:
        self._remember()
        self._call(self.room.fenced())

    def _log_failed(self) -> None:
        self._failures += 1
        self.has_trouble |= self._failures >= MAX_ATTEMPTS
        self._failed(Step.LOG)
        if self._failures >= MAX_ATTEMPTS:
            assert self.room.sequencer.last_seq is None, "the room asks for ever"
            self._failures = 0

    def _failed(self, step: Step) -> None:
        self._remember()
        self._call(self.room.failed(step, passes=False))

    def _commits_read(self, asked: ReadCommits, position: object, refused: object) -> None:
        self._call(self.room.commits_read(asked, position, refused))  # type: ignore[arg-type]

    def _seats_read(self, members: Sequence[Member], holders: object) -> None:
        self._live_before = set()
        self._call(self.room.seats_read(members, holders))  # type: ignore[arg-type]

    def _are_seats_asked(self) -> bool:
        """Whether Redis is asked who holds the seats: after an interruption only Redis knows who joined last."""
        return any(getattr(question.answer, "func", None) == self._seats_read for question in self._questions)

    def _holders(self, members: Sequence[Member]) -> object:
        return [self.redis.holders.get(member.user_id, ()) for member in members]

    # What the room hears

    def _hear(self, event: Event) -> None:
        self._remember()
        if event.kind is EventKind.PRESENCE_CHANGED:
            self.user_counts.add(int(event.body))
        if event.seq and self.redis.epoch_of[event.body] == self.redis.epoch and event.seq == self.redis.seq:
            self._is_loss_unheard = False
        if event.kind is EventKind.USER_REMOVED and not event.seq:
            self._heard_removals.add(event.user_id)
        before = self._here()
        self._call(self.room.heard(event))
        if not event.seq:
            for client in before:
                is_removed = event.kind is EventKind.USER_REMOVED and event.user_id == client.user_id
                is_replaced = event.kind is EventKind.REPLACED and event.body.decode() == client.id
                assert not (client.is_here and (is_removed or is_replaced)), f"{client.id} heard {event}, and goes on"

    def _catch_up(self) -> None:
        self._is_loss_unheard = self._is_break_unheard = False
        self._remember()
        self._call(self.room.catch_up())

    def _remember(self) -> None:
        self._live_before = {client for client in self._here() if client.is_live}
        self._last_before = self.room.sequencer.last_seq

    # Recoveries

    def _recover(self, client: Client) -> None:
        """Do what `Replay` does: read to the end of the log, then read and attach while the room keeps events."""
        member, cursor = client.member, client.cursor
        assert member is not None
        assert cursor is not None
        if not client.is_here:
            return
        if not cursor.has_more:
            if not client.is_kept:
                client.is_kept = True
                self._expect_join()
            if self._attach(client):
                self._stop_recovery(client)
                return
        known_seq = self.room.sequencer.last_seq or 0
        read = partial(self.redis.range, cursor.seq + 1, PAGE_EVENTS)
        self._ask((read,), partial(self._page_read, client, cursor, known_seq), partial(self._end, client, cursor))

    def _page_read(self, client: Client, cursor: Cursor, known_seq: int, page: object) -> None:
        if not client.is_here or client.cursor is not cursor:
            return
        try:
            events = cursor.took_log(page, PAGE_EVENTS, known_seq=known_seq)  # type: ignore[arg-type]
        except OutrunError:
            self._end(client, cursor, close_codes.RESYNC)
            return
        if events and self.redis.epoch_of[events[0].body] != client.epoch:
            raise AssertionError("a recovery read another epoch without a hole before it")
        client.write(b"".join(text_frame(event.body) for event in events), is_live=False)
        if (ending := ended_by(events, client.user_id)) is not None:
            self._end(client, cursor, ending)
        else:
            self._recover(client)

    def _attach(self, client: Client) -> bool:
        member, cursor = client.member, client.cursor
        assert member is not None
        assert cursor is not None
        self._live_before = set()
        self._call(self.room.attach(member, cursor.seq))
        return member.standing is not Standing.BEHIND

    def _end(self, client: Client, cursor: Cursor, ending: Ending = close_codes.UNAVAILABLE) -> None:
        """The recovery ends the client's connection."""
        if client.is_here and client.cursor is cursor:
            assert client.member is not None
            self._live_before = set()
            client.end(ending)
            self.room.leave(client.member)
            self._ended(client)

    def _ended(self, client: Client) -> None:
        if client.ending is not close_codes.REPLACED:
            self.redis.leave(client.user_id, client.id)
        self._stop_recovery(client)

    def _stop_recovery(self, client: Client) -> None:
        if client.is_kept:
            client.is_kept = False
            self.room.join_is_over()

    # Commits

    def _await_commit(self, event: Event) -> None:
        waiter = Waiter(self.room, event, self.redis.epoch)
        self._waiters.append(waiter)

        def told(outcome: CommitOutcome) -> None:
            assert waiter.outcome is None, f"the commit of {event.seq} was told twice"
            waiter.outcome = outcome
            if outcome is CommitOutcome.COMMITTED:
                assert event.body in self.redis.committed, f"{event.seq} was not committed"
            elif outcome is CommitOutcome.REFUSED:
                assert event.body in self.redis.refused, f"{event.seq} was not refused"
            else:
                is_lost = waiter.epoch != self.redis.epoch or not self.redis.is_known or self.has_trouble
                assert is_lost, f"{event.seq} is of this epoch, and nobody can tell"

        self._call(self.room.await_commit(event.seq, told))

    # Shared

    def _make_room(self) -> Room:
        return Room(self.info, Sequencer(MAX_ATTEMPTS), now=lambda: TS)

    def _expect_join(self) -> None:
        self.room.expect_join(JoinBuffer(JOIN_BUFFER_EVENTS))

    def _join_is_over(self, client: Client) -> None:
        self._joining.remove(client)
        self.room.join_is_over()

    def _here(self) -> list[Client]:
        return [client for client in self.clients if client.is_here]

    def _one_of(self, clients: Sequence[Client], choice: int) -> Client | None:
        return clients[choice % len(clients)] if clients else None

    def _client(self, member: Member) -> Client:
        return next(client for client in self.clients if client.member is member)

    def _drop_room(self) -> None:
        """The hub drops a room that nobody is in."""
        self.room = self._make_room()
        self.redis.is_subscribed = False
        self.redis.channel.clear()
        self._questions.clear()
        self._ticks.clear()
        self._presence_timers = self._failures = 0
        self._is_flush_scheduled = self._is_loss_unheard = self._is_break_unheard = False
        self.handed_out.clear()
        self._heard_removals.clear()
        self._waiters.clear()


def payloads(data: bytes) -> Iterator[bytes]:
    """The payloads of text frames."""
    while data:
        length, start = data[1], 2
        if length == 126:
            length, start = int.from_bytes(data[2:4], "big"), 4
        yield data[start : start + length]
        data = data[start + length :]


def _bodies(payload: bytes, found: object) -> Iterator[bytes]:
    """The events of one frame, which may be a batch."""
    if isinstance(found, list):
        yield from map(bytes, msgspec.json.decode(payload, type=list[msgspec.Raw]))
    else:
        yield payload


# Action → how often it is drawn.
ACTIONS = {
    "join": 5,
    "seat": 6,
    "leave": 1,
    "lag": 2,
    "suspend_ahead": 1,
    "say": 6,
    "say_much": 2,
    "ack": 2,
    "type": 1,
    "think": 1,
    "remove": 1,
    "close": 1,
    "end_all": 1,
    "commit": 2,
    "presence": 1,
    "deliver": 8,
    "deliver_all": 2,
    "lose": 2,
    "delay": 1,
    "repeat": 2,
    "break_off": 2,
    "carry_out": 12,
    "answer": 14,
    "fail": 1,
    "trim": 1,
    "snapshot": 4,
    "go_back": 2,
    "rewrite": 2,
    "fence_elsewhere": 1,
    "forget": 1,
    "tick": 4,
    "flush": 5,
    "presence_due": 1,
}
DRAWN = tuple(name for name, times in ACTIONS.items() for _ in range(times))
Presence = Literal["full", "summary"]


def info_of(presence: Presence, *, spirit: bool, multiple_connections: bool) -> SessionInfo:
    """A session with these options."""
    return SessionInfo(
        "5b0d7a52", "Evening", TS, 50, presence, spirit=spirit, multiple_connections=multiple_connections
    )


def play(random: Random, steps: int) -> int:
    """Play one random history to its end; returns how many steps it had."""
    presence: Presence = "full" if random.random() < 0.6 else "summary"
    info = info_of(presence, spirit=random.random() < 0.3, multiple_connections=random.random() < 0.3)
    history = History(info)
    for _ in range(steps):
        history.step(random.choice(DRAWN), random.randrange(16))
    history.settle()
    return history.steps
