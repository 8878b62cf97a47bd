"""`make fuzz`: random input for FUZZ_SECONDS (60); exit code 1 with the input that broke a property.

FUZZ_SEED repeats a run: it is printed first. Mutated bytes come fast and in masses; hypothesis adds structure, and
makes what it finds small. A history of a room that breaks a promise is named by its own seed, which plays it alone.
Half of the time goes to running gateways: conversations of many clients, held against a model of the session, and HTTP
requests. FUZZ_PART=core or FUZZ_PART=cluster takes one half only; FUZZ_CONVERSATION repeats one conversation and makes
it small.
"""

import os
import secrets
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from random import Random

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.frame_streams import streams
from tests.fuzz import mutations
from tests.fuzz.properties import check_command, check_stream
from tests.fuzz.sessions import lane
from tests.fuzz.values import commands
from tests.unit.gateway.rooms.histories import play

ROUND = 500
STEPS = 60
REPORT_SECONDS = 5.0
PARTS = ("core", "cluster")


class Fuzzer:
    """Rounds of random input until the time is over; everything in round n follows from the seed and n."""

    def __init__(self, number: int, seconds: float) -> None:
        self._seed = number
        self._ends = time.monotonic() + seconds
        self._report = Reports()
        self._done = {"streams": 0, "commands": 0, "hypothesis": 0, "histories": 0}

    def run(self) -> None:
        """Raises FoundError, and what hypothesis found."""
        for number in range(sys.maxsize):
            for part in (self._streams, self._commands, self._examples, self._histories):
                part(number)
                if time.monotonic() >= self._ends:
                    self._report(self._done, is_last=True)
                    return
                self._report(self._done)
        raise AssertionError("there is always another round")

    def _streams(self, number: int) -> None:
        random = Random(f"streams {self._seed} {number}")  # noqa: S311 - repeatable, no secret
        for _ in range(ROUND):
            data = mutations.stream(random)
            cuts = mutations.cuts(random, len(data))
            _try(lambda: check_stream(data, cuts), f"check_stream({data!r}, {cuts})")  # noqa: B023 - called at once
            self._done["streams"] += 1

    def _commands(self, number: int) -> None:
        random = Random(f"commands {self._seed} {number}")  # noqa: S311 - repeatable, no secret
        for _ in range(4 * ROUND):
            payload = mutations.command(random)
            _try(lambda: check_command(payload), f"check_command({payload!r})")  # noqa: B023 - called at once
            self._done["commands"] += 1

    def _examples(self, number: int) -> None:
        """Let hypothesis try; it prints what it found, made small."""
        quiet = settings(max_examples=ROUND // 5, deadline=None, database=None, suppress_health_check=list(HealthCheck))

        @seed(f"{self._seed} {number}")
        @quiet
        @given(streams, st.lists(st.integers(0, 5000), max_size=12))
        def stream_holds(data: bytes, cuts: list[int]) -> None:
            self._done["hypothesis"] += 1
            check_stream(data, cuts)

        @seed(f"{self._seed} {number}")
        @quiet
        @given(commands)
        def command_holds(payload: bytes) -> None:
            self._done["hypothesis"] += 1
            check_command(payload)

        stream_holds()
        command_holds()

    def _histories(self, number: int) -> None:
        for place in range(ROUND):
            name = f"history {self._seed} {number} {place}"
            _try(lambda: play(Random(name), STEPS), f"play(Random({name!r}), {STEPS})")  # noqa: B023, S311 - as above
            self._done["histories"] += 1


class Reports:
    """Says what was done, now and then."""

    def __init__(self) -> None:
        self._begun = self._reported = time.monotonic()

    def __call__(self, done: Mapping[str, int], *, is_last: bool = False) -> None:
        """Say so, if the last report is a while ago."""
        now = time.monotonic()
        if is_last or now - self._reported >= REPORT_SECONDS:
            self._reported = now
            counts = ", ".join(f"{count} {name}" for name, count in done.items())
            _say(f"fuzz: {now - self._begun:4.0f} s: {counts}")


class FoundError(Exception):
    """A property does not hold; the message is the call that shows it."""


def _try(check: Callable[[], object], call: str) -> None:
    try:
        check()
    except Exception as error:
        raise FoundError(call) from error


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Run for as long as the environment says; the exit code."""
    number = int(os.environ.get("FUZZ_SEED") or secrets.randbelow(2**32))
    seconds = float(os.environ.get("FUZZ_SECONDS") or 60)
    conversation, part = os.environ.get("FUZZ_CONVERSATION"), os.environ.get("FUZZ_PART")
    if part not in {None, "", *PARTS}:
        _say(f"fuzz: FUZZ_PART must be one of {', '.join(PARTS)}, not {part!r}")
        return 2
    parts = [part] if part else PARTS
    _say(f"fuzz: FUZZ_SEED={number} FUZZ_SECONDS={seconds:g}")
    try:
        if conversation:
            lane.repeat(conversation)
        else:
            _run(number, seconds / len(parts), parts)
    except Exception:  # noqa: BLE001 - whatever was found is the result
        traceback.print_exc()
        _say(f"fuzz: found with FUZZ_SEED={number}")
        return 1
    return 0


def _run(number: int, seconds: float, parts: Sequence[str]) -> None:
    if "core" in parts:
        Fuzzer(number, seconds).run()
    if "cluster" in parts:
        lane.run(number, seconds, Reports())


if __name__ == "__main__":
    sys.exit(main())
