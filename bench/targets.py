"""Targets: a measured value, its bound, and whether the value meets the bound."""

from typing import Any, Literal

import msgspec

Operator = Literal["<=", ">=", "=="]


class Target(msgspec.Struct, frozen=True):
    """One line of the target table; `value` is None when it could not be measured; then the target is not met."""

    name: str
    value: float | None
    target: float
    op: Operator
    met: bool


class Outcome(msgspec.Struct, frozen=True):
    """The results of a scenario: the last line of its output, as JSON."""

    scenario: str
    results: dict[str, Any]
    targets: list[Target]


def evaluate(name: str, value: float | None, op: Operator, target: float) -> Target:
    """Compare a value with its target."""
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
