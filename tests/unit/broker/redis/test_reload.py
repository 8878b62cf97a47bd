"""The order of script calls after Redis has forgotten its scripts."""

from broker.redis.reload import Reload


def test_refused_calls_come_before_those_made_meanwhile() -> None:
    """Calls are sent again in the order made, once everything sent before is answered."""
    reload: Reload[str] = Reload(unanswered=3)
    reload.answered()
    reload.refuse("publish", "first")
    reload.hold("third")
    reload.answered()
    reload.refuse("join", "second")
    assert not reload.is_over
    reload.answered()
    assert (reload.is_over, reload.refused(), reload.held(), len(reload)) == (True, ["first", "second"], ["third"], 3)


def test_a_later_call_overtakes_earlier_ones_of_its_subject() -> None:
    """Only refused calls of the same script and key are overtaken, each once."""
    reload: Reload[str] = Reload(unanswered=5)
    for subject, call in (("publish a", "1"), ("publish b", "2"), ("publish a", "3")):
        reload.refuse(subject, call)
    assert reload.passed("publish a") == ["1", "3"]
    assert reload.passed("publish a") == []
    assert reload.refused() == ["2"]
