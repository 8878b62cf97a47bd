"""The token of an open connection: when the client is told, when the gateway renews, when the connection ends."""

import json
from typing import Any

import pytest

from gateway.protocol import close_codes
from gateway.protocol.commands import Refresh
from gateway.protocol.frames import text_frame
from gateway.protocol.state_machine import Disconnect, Effect, Renew, Reply, StateMachine
from gateway.protocol.token_life import TokenLife
from tests.unit.gateway.protocol.test_state_machine import JOIN, machine, say

DAY = 86_400.0


def joined(life: TokenLife) -> StateMachine:
    """The state machine of a joined connection whose token began at time 0."""
    one = machine()
    say(one, **JOIN)
    one.joined()
    one.token_lasts(life, 0.0)
    return one


def told(effect: Effect | None) -> Any:
    """The event in a reply."""
    assert isinstance(effect, Reply)
    payload = effect.data[effect.data.index(b"{") :]
    assert effect.data == text_frame(payload)
    return json.loads(payload)


@pytest.mark.parametrize(("life", "lead"), [(DAY, 60), (600.0, 60), (60.0, 6), (10.0, 1)])
def test_the_client_is_told_before_the_end(life: float, lead: int) -> None:
    """60 s before the end, or a tenth of the life when that is shorter, the client is told; at the end comes 4501."""
    one = joined(TokenLife(life, life, is_renewed_here=False))
    assert one.token_due_at == pytest.approx(life - lead)
    assert one.token_tick(life - lead - 0.1) is None
    assert told(one.token_tick(one.token_due_at)) == {"type": "token_expiring", "data": {"in_seconds": lead}}
    assert one.token_due_at == pytest.approx(life)
    assert one.token_tick(life - 0.1) is None
    ended = one.token_tick(one.token_due_at)
    assert isinstance(ended, Disconnect)
    assert (ended.ending.code, ended.ending.name) == (close_codes.UNAUTHORIZED.code, "unauthorized")


def test_a_token_that_is_nearly_over_is_told_at_once() -> None:
    """Who joins with a token in its last minute is told at once."""
    one = joined(TokenLife(20.0, DAY, is_renewed_here=False))
    assert one.token_due_at < 0
    assert told(one.token_tick(0.0))["data"] == {"in_seconds": 20}


def test_what_the_gateway_renews_by_itself_is_never_told() -> None:
    """The gateway renews between two leads and one lead before the end, spread by the jitter."""
    for jitter, due_at in ((0.0, DAY - 60), (0.5, DAY - 90), (1.0, DAY - 120)):
        one = joined(TokenLife(DAY, DAY, is_renewed_here=True, jitter=jitter))
        assert one.token_due_at == pytest.approx(due_at)
        assert one.token_tick(due_at + 0.1) == Renew()
        assert one.token_tick(2 * DAY) is None  # until the renewal is told
        one.token_lasts(TokenLife(DAY, DAY, is_renewed_here=True), DAY)
        assert one.token_tick(2 * DAY - 61) is None
        assert one.token_tick(2 * DAY - 59) == Renew()


def test_nothing_is_due_before_the_join_and_after_the_end() -> None:
    """A connection that has not joined, or is closing, has no deadline."""
    one = machine()
    assert one.token_tick(DAY) is None
    one = joined(TokenLife(10.0, 10.0, is_renewed_here=False))
    one.close(close_codes.LEFT)
    assert one.token_tick(DAY) is None


def test_one_refresh_is_taken_at_a_time() -> None:
    """A second `refresh` before the first is over is refused for a second; the frame's id is answered."""
    one = joined(TokenLife(DAY, DAY, is_renewed_here=False))
    assert say(one, type="refresh", id=7, token="t") == Refresh("t", 7)
    refused = told(say(one, type="refresh", id=8, token="t"))
    assert (refused["id"], refused["data"]["code"], refused["data"]["retry_after_ms"]) == (8, "rate_limited", 1000)
    one.refresh_is_over()
    assert say(one, type="refresh", token="u") == Refresh("u")


def test_a_refresh_needs_a_join() -> None:
    """Before the welcome a `refresh` is refused, and as the first command it ends the connection."""
    one = machine()
    say(one, **JOIN)
    assert told(say(one, type="refresh", id=1, token="t"))["data"]["code"] == "not_joined"
    ended = say(machine(), type="refresh", token="t")
    assert isinstance(ended, Disconnect)
    assert ended.ending == close_codes.BAD_JOIN


def test_the_token_of_a_refresh_is_checked_and_never_shown() -> None:
    """A `refresh` needs a token of at most 4096 characters, which no log line shows."""
    one = joined(TokenLife(DAY, DAY, is_renewed_here=False))
    for fields, message in (({}, "token is required"), ({"token": "x" * 4097}, "token must have at most 4096")):
        answer = told(say(one, type="refresh", id=1, **fields))
        assert (answer["data"]["code"], answer["data"]["field"]) == ("validation_error", "token")
        assert message in answer["data"]["message"]
    assert "secret" not in repr(Refresh("secret"))
