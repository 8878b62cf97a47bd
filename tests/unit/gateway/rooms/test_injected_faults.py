"""Faults put into the rules of the sequencer and the room on purpose: random histories find each of them."""

import inspect
import sys
from random import Random
from typing import Any

import pytest

from gateway.rooms import room
from gateway.rooms.commit_waiters import CommitWaiters
from gateway.rooms.join_buffer import JoinBuffer
from gateway.rooms.outbox import Outbox
from gateway.rooms.room import Room
from gateway.rooms.seat_check import endings
from gateway.rooms.sequencer import Sequencer
from tests.unit.gateway.rooms import histories

pytestmark = pytest.mark.random_input

HISTORIES = 700
# Which history to begin with, for faults that few histories show.
FIRST = {
    "a gap is announced that the log may fill": 1074,
    "a gap is not announced": 800,
    "a late event is not checked": 2199,
    "the seqs that are behind are given again before the fence": 1400,
    "attempts never end": 5716,
    "a commit of a later epoch is told as committed": 8600,
    "commits are told in doubt": 3500,
    "the end of a log that is gone is not announced": 800,
    "a member ahead is admitted too early": 2050,
    "a member ahead that lacks events stays": 2050,
}
STEPS = 60

# Name of the fault → the class or function with the rule, the text of the rule, and the faulty text.
FAULTS: dict[str, tuple[Any, str, str]] = {
    "a repeated event is delivered again": (
        Sequencer,
        "if event.seq <= last_seq:\n            return last_seq",
        "if event.seq < last_seq:\n            return last_seq",
    ),
    "a gap is not filled": (
        Sequencer,
        "self.last_seq is None or (event.seq == self.last_seq + 1 and not self._is_filling)",
        "self.last_seq is None or (event.seq > self.last_seq and not self._is_filling)",
    ),
    "a gap is not announced": (
        Sequencer,
        "if event.seq > last_seq + 1:\n            results",
        "if False:\n            results",
    ),
    "a gap is announced that the log may fill": (
        Sequencer,
        "index >= self._held_when_asked",
        "False",
    ),
    "held events are forgotten": (Sequencer, "for index, event in enumerate(held):", "for index, event in ():"),
    "a late event is not checked": (
        Sequencer,
        "return self.catch_up()\n\n    def catch_up",
        "return ()\n\n    def catch_up",
    ),
    "another body under the last seq is not noticed": (
        Sequencer,
        "return events[0].body != self._last_body",
        "return False",
    ),
    "another epoch is ignored": (Sequencer, "if not is_same:\n            return self._give_up()", "pass"),
    "another epoch at a seat is ignored": (Sequencer, "if self.epoch not in (None, epoch):", "if False:"),
    "a position behind is not fenced": (Sequencer, "is_behind = position.seq < self.last_seq", "is_behind = False"),
    "the seqs that are behind are given again before the fence": (
        Sequencer,
        "is_same and (is_behind or self._is_rewritten(events))",
        "is_same and self._is_rewritten(events)",
    ),
    "a break during a fill is forgotten": (
        Sequencer,
        "return [*results, *self.catch_up()] if self._is_behind else results",
        "return results",
    ),
    "a break before the first member is forgotten": (
        Sequencer,
        "if self._is_behind and not self._is_filling:",
        "if False:",
    ),
    "attempts never end": (Sequencer, "self._attempts < self._max_attempts", "True"),
    "a failure is not tried again": (Sequencer, "return (_RETRY,) if", "return () if"),
    "events since the join are not delivered": (
        Room,
        "if late:\n            effects.append",
        "if False:\n            effects.append",
    ),
    "a late joiner gets an event twice": (JoinBuffer, "if event.seq <= seq:", "if event.seq < seq:"),
    "a late joiner is live although events are missing": (Room, "if len(late) != last_seq - seq:", "if False:"),
    "queued events reach a member that already has them": (
        Room,
        "effects = self._outbox.take()\n        self._make_live",
        "effects = []\n        self._make_live",
    ),
    "a member ahead is admitted too early": (
        Room,
        "if member.position == last_seq:",
        "if member.position <= last_seq + 1:",
    ),
    "a member ahead is never admitted": (
        Room,
        "if self._ahead:\n            self._admit(event",
        "if False:\n            self._admit(event",
    ),
    "a member ahead that lacks events stays": (
        Room,
        "if member.position <= last_seq]",
        "if member.position == last_seq]",
    ),
    "a suspended member goes on being live": (Room, "self._outbox.live.discard(member)", "pass"),
    "a suspended member loses what was queued": (
        Room,
        "effects = self._outbox.take()\n            self._outbox.live",
        "effects = []\n            self._outbox.live",
    ),
    "a removed user goes on": (Room, "self._end(members, close_codes.REMOVED, effects)", "pass"),
    "a user that was removed during the join goes on": (
        Room,
        "self._join_buffer.gone[event.user_id] = close_codes.REMOVED",
        "pass",
    ),
    "a closed session goes on": (Room, "self._end(self._outbox.live, close_codes.SESSION_CLOSED, effects)", "pass"),
    "an end comes before what was queued": (
        Room,
        "effects = self._outbox.take()\n        self._end(self.members, ending, effects)",
        "effects: list[Effect] = []\n        self._end(self.members, ending, effects)",
    ),
    "a removal comes before what was queued": (
        Room,
        "if members:\n            effects += self._outbox.take()",
        "if members:",
    ),
    "the wrong connection is replaced": (Room, "if member.id == connection_id", "if member.id != connection_id"),
    "an older connection is not replaced by a seat": (Room, "self._end(older, close_codes.REPLACED, effects)", "pass"),
    "a user is told that it types": (Room, "if member not in own]", "]"),
    "a member ends twice": (
        Room,
        "effects.append(End(ended, ending))",
        "effects += [End(ended, ending), End(ended, ending)]",
    ),
    "a member that left is sent its answer": (Outbox, "self._answers.pop(member, None)", "pass"),
    "an answer leaves apart from the events": (Outbox, "if member in self.live:", "if False:"),
    "an answer repeats the events": (Outbox, "if member not in answers]", "]"),
    "a flush is not asked for": (
        Room,
        "return (SCHEDULE_FLUSH,) if self._outbox.answer(member, frame) else ()",
        "return ()",
    ),
    "presence is told twice": (Room, "if not self._is_presence_due:", "if True:"),
    "a commit of a later epoch is told as committed": (CommitWaiters, "if seq > self.persisted - SEQ_LEAP", "if True"),
    "a commit is told twice": (
        CommitWaiters,
        "told.append(Tell(callback, self._outcome(waiting)))",
        "told += 2 * [Tell(callback, self._outcome(waiting))]",
    ),
    "a refusal is not told": (Room, "effects += self._waiters().refused(int(event.body))", "pass"),
    "commits are not read after a break": (Room, "return (self._asked_commits,)", "return ()"),
    "commits are told in doubt": (CommitWaiters, "while not self.is_in_doubt and", "while"),
    "refusals are not asked for": (CommitWaiters, "for tell in self.refused(one)]", "for tell in ()]"),
    "the end of a log that is gone is not announced": (Sequencer, "if last_seq < known_seq:", "if False:"),
    "a member without any seat stays": (Room, "if held else ()", "if any(found for _, found in held) else ()"),
    "a seat that was lost during the join is not noticed": (
        Room,
        "and self._join_buffer.was_interrupted:",
        "and self._join_buffer.was_interrupted and older:",
    ),
    "a seat that is held is taken for lost": (endings, "member.id in holding or", "False or"),
}


def with_fault(owner: Any, rule: str, fault: str) -> object:
    """The class or function, compiled from its text with the fault in the text."""
    text = inspect.getsource(owner)
    assert text.count(rule) == 1, f"the rule stands {text.count(rule)} times in {owner.__name__}"
    names = dict(vars(sys.modules[owner.__module__]))
    exec(compile(text.replace(rule, fault), f"{owner.__name__} with a fault", "exec"), names)  # noqa: S102
    return names[owner.__name__]


@pytest.mark.parametrize("name", FAULTS)
def test_random_histories_find_the_fault(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some history of the first few thousand breaks a promise when one rule is wrong."""
    owner, rule, fault = FAULTS[name]
    faulty = with_fault(owner, rule, fault)
    for module in (room, histories):
        if hasattr(module, owner.__name__):
            monkeypatch.setattr(module, owner.__name__, faulty)
    with pytest.raises(AssertionError):
        play_from(FIRST.get(name, 0))


def play_from(first: int) -> None:
    """Play the histories that hold with the rules as they are."""
    for seed in range(first, first + HISTORIES):
        histories.play(Random(f"history {seed}"), STEPS)  # noqa: S311 - repeatable, no secret
