"""Targets: a measured value, what it must reach, and whether it does."""

from typing import Any, Literal

import msgspec

Operator = Literal["<=", ">=", "=="]


class Target(msgspec.Struct, frozen=True):
    """One line of the target table; `value` is None when what it needs could not be measured, and so it isn't met."""

    name: str
    value: float | None
    target: float
    op: Operator
    met: bool


class Outcome(msgspec.Struct, frozen=True):
    """What a scenario found: the last line of its output, as JSON."""

    scenario: str
    results: dict[str, Any]
    targets: list[Target]


def evaluate(name: str, value: float | None, op: Operator, target: float) -> Target:
    """Hold a value against its target."""
    return Target(name, None if value is None else round(value, 4), target, op, _is_met(value, op, target))


def _is_met(value: float | None, op: Operator, target: float) -> bool:
    match op:
        case _ if value is None:
            return False
        case "<=":
            return value <= target
        case ">=":
            return value >= target
        case "==":
            return value == target
