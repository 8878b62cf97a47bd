"""The regression check: ratios to the textbook server of a short run, against those of the stored full run."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec


class Comparison(msgspec.Struct, frozen=True):
    """One ratio now and then; `is_worse` when it grew by more than the tolerance."""

    name: str
    now: float
    then: float
    is_worse: bool


def compare(now: Mapping[str, Any], then: Mapping[str, Any], tolerance: float) -> Iterator[Comparison]:
    """Compare each ratio that both runs have with the stored one; less is better."""
    for name, stored in then.items():
        measured = now.get(name)
        if isinstance(stored, int | float) and isinstance(measured, int | float):
            yield Comparison(name, measured, stored, measured > stored * (1 + tolerance))
