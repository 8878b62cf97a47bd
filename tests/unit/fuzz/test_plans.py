"""Plans follow from their seed, and what finds something is made small."""

from random import Random

import pytest

from tests.fuzz.sessions.plan import Come, Plan, Talk, plan
from tests.fuzz.sessions.requests import Known, request
from tests.fuzz.sessions.shrinking import shrunk

pytestmark = pytest.mark.random_input


def seeded(name: str) -> Random:
    return Random(name)  # noqa: S311 - repeatable, no secret


def frames(found: Plan) -> list[bytes]:
    return [
        said.data
        for turns in found.rounds
        for turn in turns
        if isinstance(turn.action, Talk)
        for said in turn.action.said
    ]


def test_a_seed_gives_the_same_plan_again() -> None:
    """And another seed another plan."""
    assert plan(seeded("a"), 2) == plan(seeded("a"), 2)
    assert plan(seeded("a"), 2) != plan(seeded("b"), 2)


def test_plans_hold_everything_that_clients_may_do() -> None:
    """Over some seeds every kind of turn, every way in, every way out and every kind of answer comes."""
    actions = [turn.action for seed in range(30) for turns in plan(seeded(str(seed)), 2).rounds for turn in turns]
    assert {type(action).__name__ for action in actions} == {"Talk", "Come", "Again", "Serve", "Remove"}
    talks = [action for action in actions if isinstance(action, Talk)]
    assert {talk.ending for talk in talks} == {"stay", "leave", "close", "cut", "violation"}
    assert {said.answer for talk in talks for said in talk.said} == {"ack", "pong", "error", "none"}
    ways = {action.way for action in actions if isinstance(action, Come)}
    assert ways == {"name", "token", "resume", "taken", "bad_token", "bad_first", "no_session"}


async def test_a_plan_shrinks_to_what_is_needed() -> None:
    """One frame that matters is what remains of a whole plan."""
    whole = plan(seeded("shrink"), 2)
    wanted = frames(whole)[37]
    found = await shrunk(whole, lambda smaller: _holds(smaller, wanted))
    assert frames(found) == [wanted]
    assert sum(map(len, found.rounds)) == 1


async def _holds(smaller: Plan, wanted: bytes) -> bool:
    return wanted in frames(smaller)


def test_requests_follow_from_their_seed() -> None:
    """Also those whose bytes are wrong."""
    known = Known([("GET", "/api/sessions/{session_id}"), ("POST", "/api/sessions")], ["id"], ["token"])
    made = [request(seeded(str(seed)), known) for seed in range(300)]
    assert made == [request(seeded(str(seed)), known) for seed in range(300)]
    assert {one.is_whole for one in made} == {True, False}
