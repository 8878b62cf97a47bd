import msgspec
import pytest

from bench.targets import Operator, Outcome, evaluate


@pytest.mark.parametrize(
    ("value", "op", "target", "expected"),
    [
        (1.0, "<=", 1.25, True),
        (1.25, "<=", 1.25, True),
        (1.26, "<=", 1.25, False),
        (1500, ">=", 1500, True),
        (1499.9, ">=", 1500, False),
        (1, "==", 1, True),
        (0.9, "==", 1, False),
        (None, "<=", 1.25, False),
    ],
)
def test_a_target_is_met_or_not(value: float | None, op: Operator, target: float, expected: bool) -> None:
    """The limit itself is met, and what could not be measured is not."""
    assert evaluate("a name", value, op, target).met is expected


def test_an_outcome_is_the_promised_object() -> None:
    """The JSON has exactly the keys that scripts rely on."""
    outcome = Outcome("memory", {"unit": "KiB"}, [evaluate("KiB", 3.0, "<=", 4)])
    assert msgspec.json.decode(msgspec.json.encode(outcome)) == {
        "scenario": "memory",
        "results": {"unit": "KiB"},
        "targets": [{"name": "KiB", "value": 3.0, "target": 4.0, "op": "<=", "met": True}],
    }
