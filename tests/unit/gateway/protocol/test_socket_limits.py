"""What one socket may do in a turn of the loop and in time: every kind of frame, closes behind waiting bytes, abuse."""

import json
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.rate import Rate
from gateway.protocol import close_codes
from gateway.protocol.commands import Join
from gateway.protocol.frames import close_frame, pong_frame
from gateway.protocol.socket_limits import (
    ABUSE_SECONDS,
    CALM_SECONDS,
    FIRST_FRAMES,
    PAUSE_SECONDS,
    REFUSAL_FRAMES,
    SocketLimits,
)
from gateway.protocol.state_machine import (
    Announce,
    ClosedByClient,
    Disconnect,
    Effect,
    Fail,
    Limited,
    Publish,
    Reply,
    StateMachine,
    Wait,
)
from tests.frames import client_frame, close, server_frames, text

NOW = 1000.0
PING, PONG, TYPING = client_frame(9), client_frame(10), text('{"type": "typing"}')
FRAGMENT = client_frame(0, final=False)
LEAVE = text('{"type": "leave"}')


def message(number: int, **fields: Any) -> bytes:
    """A message with this id."""
    return text(json.dumps({"type": "message", "id": number, "text": "hi", **fields}))


class Client:
    """A client's socket without a network: carries out what the machine asks for, and moves the time."""

    def __init__(self, *, is_joined: bool = True, **limits: Any) -> None:
        self.machine = StateMachine(SocketLimits(**{"max_frame_bytes": 16_384, "malformed_frames": 30, **limits}))
        self.now = NOW
        self.effects: list[Effect] = []
        self.turns: list[list[Effect]] = []
        if is_joined:
            self.machine.state = self.machine.state.JOINED

    def send(self, data: bytes = b"", most_frames: int = 1000) -> list[Effect]:
        """One turn: with these bytes, or with the bytes that wait."""
        turn: list[Effect] = []
        for effect in self.machine.receive(data, self.now, most_frames):
            turn.append(effect)
            if isinstance(effect, Disconnect | Fail) and self.machine.is_open:
                self.machine.close(effect.ending)
        self.effects += turn
        self.turns.append(turn)
        return turn

    def send_all(self, data: bytes) -> list[Effect]:
        """Turns until no bytes wait, each after the time that the machine asks for."""
        turn = self.send(data)
        taken = list(turn)
        while turn and isinstance(turn[-1], Wait):
            self.now += turn[-1].seconds
            turn = self.send() if self.machine.has_rest else []
            taken += turn
        return taken

    def errors(self) -> list[dict[str, Any]]:
        """The errors that the client was sent."""
        sent = b"".join(effect.data for effect in self.effects if isinstance(effect, Reply | Limited))
        answers = [json.loads(payload) for opcode, payload, _ in server_frames(sent) if opcode == 1]
        return [answer for answer in answers if answer["type"] == "error"]


def published(effects: list[Effect]) -> list[Any]:
    """The ids of the messages that are published."""
    return [effect.id for effect in effects if isinstance(effect, Publish)]


# Turns


def test_a_turn_has_a_few_frames_at_once_and_then_its_share() -> None:
    """The first frames are handled in the turn that read them, the rest in turns of TURN_FRAMES, in their order."""
    client = Client(turn_frames=20)
    data = b"".join(message(number) for number in range(FIRST_FRAMES + 50))
    assert published(client.send(data)) == list(range(FIRST_FRAMES))
    assert client.effects[-1] == Wait(0.0)
    assert [len(published(client.send())) for _ in range(3)] == [20, 20, 10]
    assert published(client.effects) == list(range(FIRST_FRAMES + 50))
    assert not client.machine.has_rest


def test_a_burst_of_tiny_frames_is_never_decoded_at_once() -> None:
    """256 KiB of empty pings stay bytes: no turn has more than TURN_FRAMES frames, and one pong."""
    client = Client(turn_frames=64)
    frames = 262_144 // len(PING)
    client.send_all(PING * frames)
    assert len(client.turns) == 1 + -(-(frames - FIRST_FRAMES) // 64)
    assert all(turn[0] == Reply(pong_frame()) for turn in client.turns)
    assert all(turn[1:] in ([Wait(0.0)], []) for turn in client.turns)


def test_a_turn_has_at_most_its_bytes() -> None:
    """With large frames TURN_BYTES ends the turn, also in the middle of a frame."""
    client = Client(turn_bytes=5000)
    long = text(json.dumps({"type": "message", "id": 1, "text": "hi", "more": "x" * 3000}))
    assert len(published(client.send(long * 4))) == 1
    assert [len(published(client.send())) for _ in range(2)] == [2, 1]
    assert not client.machine.has_rest


def test_turns_are_never_smaller_than_asked_for() -> None:
    """TURN_FRAMES below the number of first frames holds for these too."""
    client = Client(turn_frames=1)
    assert len(published(client.send(message(1) + message(2)))) == 1
    assert published(client.send()) == [2]


def test_the_room_on_the_link_bounds_a_turn() -> None:
    """No more frames are decoded than commands may go to Redis, and none when there is no room."""
    client = Client()
    assert published(client.send(message(1) + message(2) + message(3), 2)) == [1, 2]
    assert client.send(b"", 0) == [Wait(0.0)]
    assert published(client.send(b"", 5)) == [3]


def test_bytes_that_come_while_others_wait_keep_their_order() -> None:
    """A transport may hand over bytes that it had before it was told to stop: they follow on those that wait."""
    client = Client()
    first = b"".join(message(number) for number in range(FIRST_FRAMES + 1))
    client.send(first[:-3])
    assert client.send(first[-3:]) == []
    assert client.send(message(FIRST_FRAMES + 1)) == []
    client.send_all(b"")
    assert published(client.effects) == list(range(FIRST_FRAMES + 2))


def test_only_the_latest_ping_of_a_turn_is_answered_in_its_place() -> None:
    """RFC 6455 (5.5.3): of several pings the latest one may be answered alone."""
    client = Client()
    pings = [client_frame(9, b"%d" % number) for number in range(3)]
    assert client.send(pings[0] + message(1) + pings[1] + pings[2] + message(2)) == [
        Publish(1, "hi", None),
        Reply(pong_frame(b"2")),
        Publish(2, "hi", None),
    ]


# Ends while bytes wait


def test_a_close_frame_behind_waiting_bytes_is_honoured() -> None:
    """The client's close comes in its turn: after the commands before it, and nothing after it is looked at."""
    client = Client()
    data = b"".join(message(number) for number in range(100))
    effects = client.send_all(data + close(1000) + message(100))
    assert published(effects) == list(range(100))
    assert effects[-1] == ClosedByClient(close_frame(1000))
    assert not client.machine.has_rest


def test_a_close_frame_behind_waiting_bytes_answers_ours() -> None:
    """After our close the waiting commands are not carried out, at any rate, and the client's close ends the socket."""
    client = Client(frames=Rate(1, 10))
    client.send(b"".join(message(number) for number in range(500)) + close(1012))
    client.machine.close(close_codes.RESTART)
    client.effects.clear()
    assert client.send_all(b"")[-1] == ClosedByClient(b"")
    assert published(client.effects) == []
    assert client.now == NOW


def test_a_lost_socket_drops_the_bytes_that_wait() -> None:
    """What a client sent before its connection broke is not carried out later."""
    client = Client()
    client.send(message(1) * 100)
    client.machine.lost()
    assert not client.machine.has_rest
    assert client.send() == []


def test_a_broken_protocol_drops_the_bytes_that_wait() -> None:
    """Nothing after a violation is kept."""
    client = Client(turn_bytes=100)
    assert isinstance(client.send(client_frame(1, b"x", mask=None) + message(1) * 100)[-1], Fail)
    assert not client.machine.has_rest


# The rate of frames


@pytest.mark.parametrize(
    "frame",
    [PING, PONG, TYPING, FRAGMENT, text('{"type": "ping"}'), client_frame(2, b"x"), text("no JSON"), message(1)],
    ids=["ping", "pong", "typing", "fragment", "command", "binary", "malformed", "message"],
)
def test_every_kind_of_frame_counts(frame: bytes) -> None:
    """Answered or not: after the burst the socket is not read for a while."""
    client = Client(frames=Rate(10, 20), typing=Rate(0.5, 2), malformed_frames=1000)
    if frame is FRAGMENT:
        client.send(client_frame(1, final=False))
    for _ in range(20):
        if client.effects and isinstance(client.effects[-1], Wait):
            break
        client.send(frame)
    else:
        client.send(frame)
    assert isinstance(client.effects[-1], Wait)
    assert client.effects[-1].seconds >= PAUSE_SECONDS


def test_a_frame_that_comes_byte_by_byte_counts_as_its_reads() -> None:
    """A read without the end of a frame costs as much as a frame."""
    client = Client(frames=Rate(10, 20))
    for byte in client_frame(1, b"x" * 50)[:21]:
        assert not client.effects
        client.send(bytes((byte,)))
    assert isinstance(client.effects[-1], Wait)


def test_over_the_rate_nothing_is_lost() -> None:
    """Every command is carried out or refused with its id, in time, and a refusal comes once in a pause at most."""
    client = Client(frames=Rate(200, 400))
    client.send_all(b"".join(message(number) for number in range(1000)))
    refused = [error["id"] for error in client.errors()]
    assert sorted(published(client.effects) + refused) == list(range(1000))
    seconds = client.now - NOW
    assert seconds == pytest.approx((600 + len(refused) * REFUSAL_FRAMES) / 200, abs=0.3)
    assert 1 <= len(refused) <= seconds / PAUSE_SECONDS + 1
    for error in client.errors():
        assert error["data"].items() >= {"code": "rate_limited", "retryable": True, "retry_after_ms": 1000}.items()
        assert "200 frames a second" in error["data"]["message"]


def test_a_leave_and_a_join_are_never_refused() -> None:
    """Over the rate a client may still join and leave."""
    client = Client(is_joined=False, frames=Rate(1, 5))
    client.send(PING * 5)
    assert client.send(text('{"type": "join", "name": "Ana"}'))[0] == Join(name="Ana")
    assert client.send(LEAVE)[0] == Disconnect(close_codes.LEFT)


def test_no_limit_never_waits() -> None:
    """Without rates a client is only held to its turns."""
    client = Client()
    client.send_all((message(1) + PING + TYPING) * 1000)
    assert client.now == NOW
    assert not client.errors()


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(1, 30)), max_size=30), st.floats(1, 50), st.integers(1, 40))
def test_no_time_has_more_frames_than_the_rate_allows(
    sends: list[tuple[float, int]], per_second: float, burst: int
) -> None:
    """From the start on, burst and rate bound the frames that are handled, but for one in each pause."""
    client = Client(frames=Rate(per_second, burst))
    free_at, numbers = NOW, count()
    for gap, frames in sends:
        client.now = max(client.now + gap, free_at)
        client.send_all(b"".join(message(next(numbers)) for _ in range(frames)))
        free_at = client.now
        handled = len(published(client.effects))
        assert handled <= burst + per_second * (client.now - NOW) + 1
        if not client.machine.is_open:
            break


# Messages and typing


def test_messages_over_the_rate_are_refused() -> None:
    """After the burst a message is refused, and says when to repeat it; the connection goes on, and others count on."""
    client = Client(messages=Rate(20, 40))
    client.send_all(b"".join(message(number) for number in range(50)))
    assert published(client.effects) == list(range(40))
    assert [error["id"] for error in client.errors()] == list(range(40, 50))
    assert {effect.what for effect in client.effects if isinstance(effect, Limited)} == {"messages_connection"}
    data = client.errors()[0]["data"]
    assert (data["code"], data["retryable"], data["retry_after_ms"]) == ("rate_limited", True, 1000)
    assert "20 messages a second, after 40 at once" in data["message"]
    assert client.machine.is_open
    client.now += 1
    assert published(client.send(message(50))) == [50]


def test_a_slow_rate_says_how_long_to_wait() -> None:
    """When the wait is longer than a second, `retry_after_ms` is that long, and then the message passes."""
    client = Client(messages=Rate(0.25, 1))
    client.send(message(1) + message(2))
    [error] = client.errors()
    assert error["data"]["retry_after_ms"] == pytest.approx(4000, abs=1)
    client.now += error["data"]["retry_after_ms"] / 1000
    assert published(client.send(message(3))) == [3]


def test_typing_over_the_rate_is_dropped_in_silence() -> None:
    """`typing` over the rate is counted, not answered, and never ends the connection."""
    client = Client(typing=Rate(0.5, 2))
    for _ in range(100):
        client.send(TYPING)
        client.now += 0.2
    assert len([effect for effect in client.effects if effect == Announce()]) == 2 + 9
    assert {effect for effect in client.effects if effect != Announce()} == {Limited("typing")}
    assert client.machine.is_open


def test_a_thousand_messages_at_once_are_all_answered() -> None:
    """A client that sends a thousand messages at once hears about each, and is not closed for that."""
    client = Client(messages=Rate(20, 40), frames=Rate(200, 400))
    client.send_all(b"".join(message(number) for number in range(1000)))
    refused = [error["id"] for error in client.errors()]
    assert sorted(published(client.effects) + refused) == list(range(1000))
    assert client.now - NOW < ABUSE_SECONDS


# Abuse


@pytest.mark.parametrize("limits", [{"frames": Rate(200, 400)}, {"messages": Rate(20, 40)}], ids=["frames", "messages"])
def test_a_client_that_goes_on_is_closed(limits: dict[str, Any]) -> None:
    """10 s after a limit was reached, a client that never stopped is closed with 4509, and its bytes are dropped."""
    client = Client(**limits)
    reached: float | None = None
    while client.machine.is_open:
        if client.errors():
            reached = client.now if reached is None else reached
        client.send_all(message(1) * 30)
        client.now += 0.1
    assert reached is not None
    assert client.now - reached == pytest.approx(ABUSE_SECONDS, abs=0.6)
    last = client.effects[-1]
    assert isinstance(last, Fail)
    assert (last.ending.code, last.ending.name) == (4509, "abuse")
    client.send_all(message(1) * 1000)
    assert set(client.effects[client.effects.index(last) + 1 :]) <= {Wait(0.0)}


def test_a_client_whose_bytes_wait_long_is_closed_too() -> None:
    """A busy gateway, which comes back to a flooding client late, does not take the delay for calm."""
    client = Client(frames=Rate(200, 400))
    client.send(PING * 40_000)
    while client.machine.is_open and client.now < NOW + 60:
        last = client.effects[-1]
        assert isinstance(last, Wait)
        client.now += last.seconds + (0.7 if last.seconds else 0.01)
        client.send()
    assert client.now - NOW == pytest.approx(ABUSE_SECONDS, abs=2)


@pytest.mark.parametrize("spread", [0.0, 0.2, 0.4])
def test_a_client_that_waits_as_it_was_told_is_never_closed(spread: float) -> None:
    """A client with 2000 messages to send, which repeats what was refused after `retry_after_ms`, gets all through."""
    client = Client(messages=Rate(20, 40), frames=Rate(200, 400))
    waiting = {number: client.now + spread * (number % 50) / 50 for number in range(100)}
    taken: list[Any] = []
    while waiting:
        number, at = min(waiting.items(), key=lambda item: item[1])
        client.now = max(client.now, at)
        client.effects.clear()
        client.send_all(message(number))
        del waiting[number]
        if client.errors():
            waiting[number] = client.now + client.errors()[0]["data"]["retry_after_ms"] / 1000
        taken += published(client.effects)
        assert client.machine.is_open
    assert sorted(taken) == list(range(100))


def test_calm_is_shorter_than_the_wait_that_clients_are_told() -> None:
    """Otherwise a client that waits as told would be closed."""
    assert CALM_SECONDS < 1


def test_after_a_refused_message_later_ones_are_refused_until_it_may_be_repeated() -> None:
    """Otherwise a later message would pass the refused one, which comes again after the time that the error tells."""
    client = Client(messages=Rate(20, 1))
    taken = [kind for number in (1, 2) for kind in map(type, client.send(message(number)))]
    client.now += 0.9
    taken += map(type, client.send(message(3)))
    client.now += 0.1
    taken += map(type, client.send(message(2)))
    assert taken == [Publish, Limited, Limited, Publish]


def test_a_message_that_redis_refused_holds_back_later_ones() -> None:
    """They would pass that message too."""
    client = Client()
    assert client.machine.message_limited(client.now, 3.0) is None
    client.now += 2.9
    assert [type(effect) for effect in client.send(message(1))] == [Limited]
    client.now += 0.1
    assert [type(effect) for effect in client.send(message(1))] == [Publish]
