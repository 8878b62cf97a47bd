"""Makes a plan that found something smaller: takes out rounds, then turns, then frames, as long as it still finds."""

import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from msgspec.structs import replace

from tests.fuzz.sessions.plan import Plan, Talk, Turn

SECONDS: Final = 60.0


async def shrunk(plan: Plan, fails: Callable[[Plan], Awaitable[bool]], seconds: float = SECONDS) -> Plan:
    """The smallest plan that was found in this time; each that is tried is played anew."""
    deadline = time.monotonic() + seconds
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for candidate in candidates(plan):
            if time.monotonic() > deadline:
                return plan
            if await fails(candidate):
                plan, is_smaller = candidate, True
                break
    return plan


def candidates(plan: Plan) -> Iterator[Plan]:
    """Smaller plans, the boldest first."""
    rounds = list(plan.rounds)
    size = len(rounds) // 2
    while size:
        for begin in range(0, len(rounds), size):
            yield Plan([*rounds[:begin], *rounds[begin + size :]])
        size //= 2
    for place, turns in enumerate(rounds):
        for number in range(len(turns)):
            yield _with(plan, place, [*turns[:number], *turns[number + 1 :]])
    for place, turns in enumerate(rounds):
        for number, turn in enumerate(turns):
            for fewer in _fewer(turn):
                yield _with(plan, place, [*turns[:number], fewer, *turns[number + 1 :]])


def _fewer(turn: Turn) -> Iterator[Turn]:
    """The turn with half of its frames, or with one frame less."""
    if not isinstance(turn.action, Talk):
        return
    said = list(turn.action.said)
    half = len(said) // 2
    cuts = [(0, half), (half, len(said)), *((place, place + 1) for place in range(len(said)))]
    for begin, end in cuts:
        if begin < end:
            yield replace(turn, action=replace(turn.action, said=[*said[:begin], *said[end:]]))


def _with(plan: Plan, place: int, turns: list[Turn]) -> Plan:
    return Plan([*plan.rounds[:place], turns, *plan.rounds[place + 1 :]])
