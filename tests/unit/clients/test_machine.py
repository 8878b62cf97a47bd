"""The client's state machine in time: backoff, silence, deadlines, what is repeated and what is given up."""

import itertools
import json
from typing import Any

import pytest
from seance_client.effects import Answer, AskToken, Dial, Effect, Emit, Fail, Hangup, Stop, Write
from seance_client.errors import (
    LeftError,
    NotConnectedError,
    SessionFullError,
    UnauthorizedError,
    UnconfirmedError,
)
from seance_client.events import Ack, Disconnected, Event
from seance_client.machine import Machine, Phase
from seance_client.policy import Backoff, Policy
from seance_client.wire import Join

URLS = ("ws://one/ws/s", "ws://two/ws/s")
POLICY = Policy()
WELCOME = {
    "session": {"id": "s"},
    "you": {"id": "u", "name": "Ana"},
    "seq": 1,
    "epoch": "e",
    "token": "t",
    "heartbeat_seconds": 10,
}


def machine(policy: Policy = POLICY, *, draw: float = 1.0, can_ask: bool = False) -> Machine:
    """One that draws the longest waits, unless told otherwise."""
    return Machine(URLS, Join("Ana"), policy, lambda: draw, can_ask=can_ask)


def welcome(seq: int = 1, epoch: str = "e", *, recovered: bool = False, **fields: object) -> bytes:
    resumed = {"recovered": recovered, "source": "log" if recovered else "none", "missed": 0}
    data = {**WELCOME, "seq": seq, "epoch": epoch, "resumed": resumed, **fields}
    return json.dumps({"type": "welcome", "data": data}).encode()


def joined(
    policy: Policy = POLICY, now: float = 0.0, *, draw: float = 1.0, can_ask: bool = False, **fields: Any
) -> Machine:
    """A machine that has been welcomed."""
    it = machine(policy, draw=draw, can_ask=can_ask)
    it.start()
    if can_ask:
        it.provided("first", now)
    it.opened(now)
    it.heard(welcome(**fields), now)
    assert it.phase is Phase.JOINED
    return it


def due(it: Machine) -> float | None:
    """When the machine wants to be told the time."""
    return it.deadline


def rejoin(it: Machine, now: float, **fields: Any) -> list[Effect]:
    """Let the client come back at this time."""
    it.tick(now)
    it.opened(now)
    return it.heard(welcome(**fields), now)


def events(effects: list[Effect]) -> list[Event]:
    return [effect.event for effect in effects if isinstance(effect, Emit)]


def written(effects: list[Effect]) -> list[dict[str, Any]]:
    return [json.loads(effect.frame) for effect in effects if isinstance(effect, Write)]


def wait(effects: list[Effect]) -> float:
    """How long the client waits after a loss."""
    [event] = events(effects)
    assert isinstance(event, Disconnected)
    assert event.will_retry
    return event.retry_seconds


def test_tries_the_urls_in_turn() -> None:
    """Every attempt goes to the next address."""
    it = machine()
    assert it.start() == [Dial(URLS[0])]
    it.lost(1006, "refused", 0)
    assert it.deadline == POLICY.backoff_base
    assert it.tick(POLICY.backoff_base) == [Dial(URLS[1])]
    it.lost(1006, "refused", 1)
    assert it.tick(5) == [Dial(URLS[0])]


def test_backoff_doubles_up_to_the_cap() -> None:
    """Failed attempts wait longer and longer, but never longer than the cap."""
    it = machine(Policy(backoff_base=1, backoff_cap=5))
    it.start()
    waits = []
    now = 0.0
    for _ in range(5):
        waits.append(wait(it.lost(1006, "", now)))
        now += waits[-1]
        it.tick(now)
    assert waits == [1, 2, 4, 5, 5]


def test_backoff_never_overflows() -> None:
    """After years of attempts the wait is still a number."""
    backoff = Backoff(POLICY, lambda: 1.0)
    backoff.attempts = 10_000_000
    assert backoff.next_seconds() == POLICY.backoff_cap


def test_backoff_begins_anew_after_a_stable_connection() -> None:
    """Only a connection that held makes the waits short again; a welcome alone does not."""
    it = joined()
    assert wait(it.lost(4002, "", 1)) == 0.5
    rejoin(it, 2, recovered=True)
    assert wait(it.lost(4002, "", 3)) == 1
    rejoin(it, 4, recovered=True)
    assert wait(it.lost(4002, "", 4 + POLICY.stable_after)) == 0.5


def test_resync_is_followed_at_once_but_not_again_and_again() -> None:
    """A gateway that asks for a resync each time is met with backoff."""
    it = joined()
    assert wait(it.lost(4003, "", 1)) == 0
    rejoin(it, 1, recovered=True)
    assert wait(it.lost(4003, "", 1)) == 1


@pytest.mark.parametrize("code", [1006, 1012, 4003])
def test_a_reconnect_names_the_time_of_the_next_attempt(code: int) -> None:
    """The client dials at the time that `reconnect` named, neither sooner nor later, whatever the close code."""
    it = joined()
    hint = {"type": "reconnect", "data": {"reason": "restart", "after_ms": 300}}
    it.heard(json.dumps(hint).encode(), 10)
    assert wait(it.lost(code, "", 10.25)) == pytest.approx(0.05)
    assert it.deadline == pytest.approx(10.3)
    assert it.tick(10.29) == []
    assert it.tick(10.31) == [Dial(URLS[1])]


def test_a_refusal_names_the_least_wait() -> None:
    """The client waits for the time of `Retry-After` and its own backoff on top."""
    it = machine()
    it.start()
    assert wait(it.refused(503, 1, "", 0)) == 1 + POLICY.backoff_base


def test_silence_is_asked_then_given_up() -> None:
    """After one heartbeat of silence the client pings, after two and a half it reconnects; pauses do not count."""
    it = joined()
    assert due(it) == 10
    assert [frame["type"] for frame in written(it.tick(10))] == ["ping"]
    assert due(it) == 25
    it.paused()
    assert due(it) is None
    assert it.tick(1000) == []
    it.resumed(1000)
    assert due(it) == 1010
    it.tick(1010)
    effects = it.tick(1025)
    assert effects[0] == Hangup()
    assert wait(effects) == 0


def test_traffic_breaks_the_silence() -> None:
    """Whatever comes counts as a sign of life."""
    it = joined()
    it.tick(10)
    it.heard(b'{"type":"spirit_thinking","data":{}}', 12)
    assert it.deadline == 22


def test_a_gateway_that_does_not_answer_the_join_is_left() -> None:
    """No welcome comes in time: the client hangs up and tries again."""
    it = machine()
    it.start()
    it.opened(0)
    assert it.deadline == POLICY.join_timeout
    assert it.tick(POLICY.join_timeout)[0] == Hangup()
    assert it.phase is Phase.WAITING


@pytest.mark.parametrize(("seconds", "is_over"), [(59, False), (61, True)])
def test_an_own_ghost_is_believed_in_for_a_time(seconds: float, is_over: bool) -> None:
    """A full session is retried while an unanswered join of ours may hold the seat, and no longer."""
    it = machine()
    it.start()
    it.opened(0)
    it.lost(1006, "", 0)
    it.tick(1)
    it.opened(seconds)
    effects = it.lost(4505, "full", seconds)
    assert (it.phase is Phase.STOPPED) == is_over
    if is_over:
        assert isinstance(effects[-1], Stop)
        assert isinstance(effects[-1].error, SessionFullError)


def test_messages_are_repeated_in_order() -> None:
    """What was not acknowledged goes out again after the next welcome, with its key, in the order of the calls."""
    it = joined()
    ids = [it.say(text, f"key-{text}", "accepted", 1)[0] for text in "abc"]
    acked = {"type": "ack", "id": ids[1], "data": {"seq": 2, "message_id": "m", "level": "accepted"}}
    assert it.heard(json.dumps(acked).encode(), 1) == [Answer(ids[1], Ack(2, "m", "accepted"))]
    it.lost(1006, "", 2)
    assert it.say("d", "key-d", "accepted", 2)[1] == []
    again = written(rejoin(it, 3, recovered=True))
    assert [(frame["text"], frame["key"]) for frame in again] == [(text, f"key-{text}") for text in "acd"]


def test_old_messages_are_not_repeated() -> None:
    """When the gateways may have forgotten the key, a message that was sent is given up, one that was not is sent."""
    it = joined()
    sent, _ = it.say("sent", "k1", "accepted", 1)
    it.lost(1006, "", 2)
    it.say("waiting", "k2", "accepted", 2)
    effects = rejoin(it, 1 + POLICY.key_seconds + 1, recovered=True)
    [failed] = [effect for effect in effects if isinstance(effect, Fail)]
    assert failed.id == sent
    assert isinstance(failed.error, UnconfirmedError)
    assert [frame["text"] for frame in written(effects)] == ["waiting"]


def test_a_refused_message_holds_the_others_back() -> None:
    """While one waits for its time, later calls wait behind it."""
    it = joined(draw=0.0)
    first, _ = it.say("first", "k1", "accepted", 1)
    error = {"code": "unavailable", "message": "", "retryable": True, "retry_after_ms": 2000}
    it.heard(json.dumps({"type": "error", "id": first, "data": error}).encode(), 1)
    assert it.say("second", "k2", "accepted", 1)[1] == []
    assert it.deadline == 3
    assert [frame["text"] for frame in written(it.tick(3))] == ["first", "second"]


def test_after_a_rate_limit_messages_go_one_at_a_time() -> None:
    """The next message goes when the one before is answered, or given up, and after ten seconds all go together."""
    it = joined(draw=0.0)
    first, _ = it.say("first", "k1", "accepted", 1)
    it.say("second", "k2", "accepted", 1)
    it.heard(json.dumps({"type": "error", "id": first, "data": LIMITED}).encode(), 1)
    assert it.deadline == 2
    assert it.tick(2) == []
    it.heard(json.dumps({"type": "error", "id": first + 1, "data": LIMITED}).encode(), 2)
    assert [command["text"] for command in written(it.tick(3))] == ["first"]
    it.say("third", "k3", "accepted", 3)
    it.forget(first)
    assert [command["text"] for command in written(it.tick(4))] == ["second"]
    # A ping is due too.
    assert [command.get("text") for command in written(it.tick(13))] == [None, "third"]


LIMITED = {"code": "rate_limited", "message": "", "retryable": True, "retry_after_ms": 50}


def test_a_forgotten_message_is_uncertain_only_if_it_was_sent() -> None:
    """A message that was never written can't have been carried out."""
    it = machine()
    waiting, _ = it.say("waiting", "k", "accepted", 0)
    assert it.forget(waiting) is False
    it = joined()
    sent, _ = it.say("sent", "k", "accepted", 0)
    assert it.forget(sent) is True
    it.lost(1006, "", 1)
    assert written(rejoin(it, 2, recovered=True)) == []


def test_pings_end_with_their_connection() -> None:
    """A ping that was not answered fails when the connection is lost; without one there is no ping."""
    it = joined()
    number, _ = it.ping()
    failed = it.lost(1006, "", 1)[0]
    assert isinstance(failed, Fail)
    assert failed.id == number
    assert isinstance(failed.error, NotConnectedError)
    assert it.ping() == (None, [])
    assert it.typing(1) == []


def test_leaving_waits_for_the_close_and_fails_what_is_unanswered() -> None:
    """The client says that it leaves and waits for the close, for a bounded time; messages without an answer fail."""
    it = joined()
    number, _ = it.say("hi", "k", "accepted", 0)
    assert written(it.leave(1)) == [{"type": "leave"}]
    assert it.leave(1) == []
    assert it.deadline == 1 + POLICY.leave_timeout
    effects = it.tick(1 + POLICY.leave_timeout)
    assert (effects[0], effects[-1]) == (Hangup(), Stop(None))
    [failed] = [effect for effect in effects if isinstance(effect, Fail)]
    assert failed.id == number
    assert isinstance(failed.error, LeftError)


def test_leaving_is_answered_by_any_close() -> None:
    """After the client has said that it leaves, any end of the connection ends the client."""
    for code, is_garbage in itertools.product((1000, 1006, 4505), (False, True)):
        it = joined()
        it.leave(1)
        effects = it.heard(b"garbage", 1) if is_garbage else it.lost(code, "", 1)
        assert effects[-1] == Stop(None)
        assert it.close() == []


def test_what_comes_too_late_is_ignored() -> None:
    """After the end nothing moves it: no connection, no refusal, no loss, no frame, no time."""
    it = machine()
    it.start()
    assert it.leave(0) == [Stop(None)]
    assert it.deadline is None
    late = (it.opened(1), it.refused(503, 0, "", 1), it.lost(1006, "", 1), it.heard(welcome(), 1), it.tick(99))
    assert late == ([], [], [], [], [])


def frame(kind: str, **data: object) -> bytes:
    """A frame of the gateway."""
    return json.dumps({"type": kind, "data": data}).encode()


def test_a_renewal_names_the_token_and_the_time_of_its_end() -> None:
    """Until a renewed token ends the client comes back with it; afterwards the error says that it has ended."""
    it = joined(token_expires_in_seconds=60)
    it.heard(frame("token_renewed", token="t2", expires_in_seconds=60), 50)
    assert it.token == "t2"
    it.lost(1006, "", 100)
    assert written(rejoin(it, 101)) == []
    it.lost(1006, "", 200)
    it.tick(210)
    assert [command["token"] for command in written(it.opened(210))] == ["t"]
    [stop] = [effect for effect in it.lost(4501, "expired", 211) if isinstance(effect, Stop)]
    assert isinstance(stop.error, UnauthorizedError)
    assert stop.error.reason == "expired"


def test_an_ended_token_is_named_in_the_error() -> None:
    """Without `get_token` the gateway judges the ended token, and the error says that the token has ended."""
    it = joined(token_expires_in_seconds=60)
    it.lost(1006, "", 100)
    it.tick(101)
    it.opened(101)
    [stop] = [effect for effect in it.lost(4501, "no", 101) if isinstance(effect, Stop)]
    assert isinstance(stop.error, UnauthorizedError)
    assert stop.error.reason == "no; the token of this user has ended"


def test_an_application_that_fails_is_asked_again() -> None:
    """While the connection is open the client asks again after some seconds; a loss takes the question back."""
    it = joined(can_ask=True)
    assert AskToken() in it.heard(frame("token_expiring", in_seconds=60), 1)
    assert it.unprovided("away", 1) == []
    assert it.deadline == 1 + POLICY.token_retry
    assert it.tick(1 + POLICY.token_retry) == [AskToken()]
    assert [command["token"] for command in written(it.provided("second", 7))] == ["second"]
    it.unprovided("away", 8)
    it.lost(1006, "", 9)
    assert it.deadline == 9 + POLICY.backoff_base
    # An answer that comes too late is for nobody.
    assert it.provided("third", 9) == []


def test_a_refused_token_is_replaced_once() -> None:
    """After 4501 the application is asked; when its token is refused too, that is the end."""
    it = joined(can_ask=True)
    assert wait(it.lost(4501, "revoked", 1)) == 0
    assert it.tick(1) == [AskToken()]
    it.provided("second", 2)
    assert [command["token"] for command in written(it.opened(2))] == ["second"]
    assert isinstance(it.lost(4501, "revoked", 3)[-1], Stop)


@pytest.mark.parametrize("code", [4002, 4003, 1006])
def test_an_error_names_the_least_wait(code: int) -> None:
    """The client waits as long as the error before the close says, and up to a quarter longer."""
    it = machine()
    it.start()
    it.opened(0)
    it.heard(frame("error", code="rate_limited", message="", retryable=True, retry_after_ms=8000), 0)
    assert wait(it.lost(code, "", 2)) == 8
    it.tick(10)
    it.opened(10)
    assert wait(it.lost(4002, "", 10)) == 1


def test_typing_is_told_at_most_every_two_seconds() -> None:
    """An application may call it at every key; what comes too soon is told later, unless the message went out."""
    it = joined()
    assert [command["type"] for command in written(it.typing(1))] == ["typing"]
    assert it.typing(1.5) == it.typing(2.9) == []
    assert it.deadline == 3
    assert it.tick(2.9) == []
    assert [command["type"] for command in written(it.tick(3))] == ["typing"]
    assert it.typing(4) == []
    it.say("done", "k", "accepted", 4.5)
    assert it.tick(5) == []
    assert [command["type"] for command in written(it.typing(5))] == ["typing"]
    it.typing(6)
    it.lost(1006, "", 6)
    assert [command["type"] for command in written(rejoin(it, 7, recovered=True))] == ["message"]
    assert it.tick(9) == []
