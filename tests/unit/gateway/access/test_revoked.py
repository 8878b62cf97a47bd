"""The set of revoked tokens."""

import pytest

from broker.sessions.revocations import Revocation
from gateway.access.revoked import SKEW_SECONDS, RevokedTokens

NOW = 1_000_000


def revoked(*revocations: Revocation) -> RevokedTokens:
    """A set of these revocations."""
    one = RevokedTokens()
    for revocation in revocations:
        assert one.add(revocation)
    return one


def test_a_token_is_covered_by_its_id() -> None:
    """A revoked `jti` is covered whenever it was issued; another one is not, and neither is a token without one."""
    one = revoked(Revocation("jti", "t-1", NOW, NOW + 100))
    assert one.covers("t-1", (), NOW + 50)
    assert not one.covers("t-2", ("t-1",), 0)
    assert not one.covers(None, (None,), 0)


@pytest.mark.parametrize(("issued_at", "is_covered"), [(0, True), (NOW + SKEW_SECONDS, True), (NOW + 6, False)])
def test_a_subject_is_covered_for_tokens_issued_until_then(issued_at: int, *, is_covered: bool) -> None:
    """A revoked `sub` covers what was issued until then, with some allowance for clocks; a new token is good."""
    one = revoked(Revocation("sub", "ana", NOW, NOW + 100))
    assert one.covers("t", ("ana", None), issued_at) is is_covered
    assert one.covers("t", (None, "ana"), issued_at) is is_covered
    assert not one.covers("ana", ("ben",), issued_at)


def test_the_later_times_count() -> None:
    """A repetition that says nothing new is told apart; a later one prolongs the revocation."""
    one = revoked(Revocation("sub", "ana", NOW, NOW + 100))
    assert not one.add(Revocation("sub", "ana", NOW - 5, NOW + 100))
    assert one.add(Revocation("sub", "ana", NOW + 50, NOW + 60))
    assert one.covers(None, ("ana",), NOW + 50)
    one.forget_expired(NOW + 99)
    assert len(one) == 1
    one.forget_expired(NOW + 100)
    assert (len(one), one.covers(None, ("ana",), 0)) == (0, False)
