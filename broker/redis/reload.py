"""The order of script calls after Redis has forgotten its scripts. Pure.

A call by digest that Redis refuses is sent again with the script's source. Meanwhile another process may load the
script, and then a call made later gets through first. So nothing more is sent until every call under way is answered;
a call that a later one has overtaken fails, because it must not run after that one.
"""

from typing import Generic, TypeVar

Call = TypeVar("Call")


class Reload(Generic[Call]):
    """From the first refusal until every call sent before it is answered. `subject` of a call: script and first key."""

    def __init__(self, unanswered: int) -> None:
        self._unanswered = unanswered
        self._refused: list[tuple[object, Call]] = []
        self._held: list[Call] = []

    def __len__(self) -> int:
        return len(self._refused) + len(self._held)

    @property
    def is_over(self) -> bool:
        """Whether every call that was sent before is answered."""
        return self._unanswered <= 0

    def answered(self) -> None:
        """One of the calls sent before is answered."""
        self._unanswered -= 1

    def refuse(self, subject: object, call: Call) -> None:
        """Redis has forgotten the script of this call."""
        self._refused.append((subject, call))

    def passed(self, subject: object) -> list[Call]:
        """A later call of this subject got through: returns the refused ones that it has overtaken."""
        overtaken = [call for one, call in self._refused if one == subject]
        self._refused = [(one, call) for one, call in self._refused if one != subject]
        return overtaken

    def hold(self, call: Call) -> None:
        """Keep a call that was made meanwhile."""
        self._held.append(call)

    def refused(self) -> list[Call]:
        """The calls to send again with their source, in the order made, before those of `held`."""
        return [call for _, call in self._refused]

    def held(self) -> list[Call]:
        """The calls that were made meanwhile, in the order made."""
        return self._held
