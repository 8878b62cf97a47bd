"""A client that sends more than a gateway takes: a simulated gateway with a rate, a distance, and no real time."""

import heapq
import itertools
import json
from typing import Any

import pytest
from seance_client.effects import Effect, Write
from seance_client.machine import Machine

from gateway.limits.rate import Rate
from tests.unit.clients.test_machine import joined

BURST, PER_SECOND = 40, 20


class Simulation:
    """A client and a gateway, `one_way` seconds apart, whose refusals name `least_ms` at least.

    `taken` holds the texts in the order in which they came.
    """

    def __init__(self, one_way: float, least_ms: int = 0) -> None:
        self.client: Machine = joined()
        self.now = 0.0
        self.taken: list[str] = []
        self.refused_at: list[float] = []
        self.taken_at: list[float] = []
        self._one_way = one_way
        self._least_ms = least_ms
        self._rate = Rate(PER_SECOND, BURST)
        self._arrival = 0.0
        self._frames: list[tuple[float, int, str, Any]] = []
        self._numbers = itertools.count()

    def say(self, text: str) -> None:
        """The application sends a message now."""
        self._carry_out(self.client.say(text, text, "accepted", self.now)[1])

    def run(self, until: float) -> None:
        """Let time pass."""
        while True:
            deadline = self.client.deadline
            due = min(self._frames[0][0] if self._frames else until, max(self.now, deadline or until))
            if due >= until:
                self.now = until
                return
            self.now = due
            if self._frames and self._frames[0][0] <= self.now:
                _, _, side, frame = heapq.heappop(self._frames)
                if side == "gateway":
                    self._take(json.loads(frame))
                else:
                    self._carry_out(self.client.heard(frame, self.now))
            else:
                self._carry_out(self.client.tick(self.now))

    def _carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Write):
                self._post("gateway", effect.frame)

    def _take(self, command: dict[str, Any]) -> None:
        answer: dict[str, Any] = {"type": "pong", "data": {}}
        if command["type"] == "message":
            after = self._rate.after(self._arrival, self.now)
            wait = self._rate.wait(after, self.now)
            if wait > 0:
                self.refused_at.append(self.now)
                retry_ms = max(int(wait * 1000) + 1, self._least_ms)
                error = {"code": "rate_limited", "message": "", "retryable": True, "retry_after_ms": retry_ms}
                answer = {"type": "error", "data": error}
            else:
                self._arrival = after
                self.taken.append(command["text"])
                self.taken_at.append(self.now)
                ack = {"seq": len(self.taken), "message_id": "m", "level": "accepted"}
                answer = {"type": "ack", "data": ack}
        self._post("client", json.dumps({**answer, "id": command["id"]}).encode())

    def _post(self, side: str, frame: bytes) -> None:
        heapq.heappush(self._frames, (self.now + self._one_way, next(self._numbers), side, frame))


@pytest.mark.parametrize("least_ms", [0, 1000])
@pytest.mark.parametrize("one_way", [0.0005, 0.05])
def test_a_burst_beyond_the_rate_arrives_in_order(one_way: float, least_ms: int) -> None:
    """64 messages at once, 40 of them within the burst: all come, in order, and few are refused a second time."""
    simulation = Simulation(one_way, least_ms)
    texts = [f"{number}" for number in range(64)]
    for text in texts:
        simulation.say(text)
    simulation.run(10.0)
    assert simulation.taken == texts
    assert len(simulation.refused_at) <= 64 - BURST + 2
    assert simulation.taken_at[-1] < 6


@pytest.mark.parametrize("least_ms", [0, 1000])
def test_a_steady_stream_beyond_the_rate_is_seldom_refused(least_ms: int) -> None:
    """A client that always has something to say uses the rate, and is refused once a second: never abuse."""
    simulation = Simulation(0.001, least_ms)
    for number in range(400):
        simulation.say(f"{number}")
        simulation.run(simulation.now + 0.02)
    simulation.run(60.0)
    assert simulation.taken == [f"{number}" for number in range(400)]
    # The bucket holds more than the longest wait fills, so no part of the rate is lost.
    assert simulation.taken_at[-1] < (400 - BURST) / PER_SECOND + 2
    bursts = [earlier for earlier, later in itertools.pairwise(simulation.refused_at) if later - earlier > 0.2]
    assert len(bursts) <= 20
    assert all(later - earlier >= 1 for earlier, later in itertools.pairwise(bursts))


def test_after_ten_quiet_seconds_messages_go_together_again() -> None:
    """A limit is forgotten."""
    simulation = Simulation(0.05)
    for number in range(50):
        simulation.say(f"{number}")
    simulation.run(20.0)
    for number in range(30):
        simulation.say(f"again {number}")
    simulation.run(20.06)  # less than a round trip
    assert simulation.taken[50:] == [f"again {number}" for number in range(30)]
