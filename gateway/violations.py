"""Pure. What a validator says about a value, in words for people that follow the name of the field."""

import re
from collections.abc import Sequence
from typing import Any, Literal, get_args, get_origin

_NOUNS = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "an array",
    "object": "an object",
}
_of_kind = re.compile(r"Expected `([^`]+)`, got `([^`]+)`").match
_of_size = re.compile(r"Expected `(\w+)`( of length)? (>=|<=) (-?\d+)").match
_BOUNDS = {">=": "at least", "<=": "at most"}


def in_words(problem: str, choices: Sequence[str] = (), *, example: str = "", names_given: bool = True) -> str:
    """`must have at least 8 characters` for msgspec's "Expected `str` of length >= 8".

    `choices` are the allowed values of a field that has only a few, `example` is a value of a field with a pattern.
    Without `names_given`, the kind of the given value is left out: every variable of the environment is a string.
    """
    if choices:
        return f"must be {_one_of(choices)}"
    if kind := _of_kind(problem):
        wanted = _one_of([_NOUNS.get(part, part) for part in kind[1].split(" | ")])
        return f"must be {wanted}" + (f", not {_NOUNS.get(kind[2], kind[2])}" if names_given else "")
    if size := _of_size(problem):
        bound = f"{_BOUNDS[size[3]]} {size[4]}"
        if not size[2]:
            return f"must be {bound}"
        return f"must have {bound} {'character' if size[1] == 'str' else 'item'}{'' if size[4] == '1' else 's'}"
    if problem.endswith("out of range"):
        return "is out of range"
    return f"must look like {example}" if example else "does not have the expected form"


def parts_of(annotation: Any) -> list[Any]:
    """The annotation and its parts: the arguments of `Annotated`, and the members of a union."""
    if get_origin(annotation) is Literal:
        return [annotation]
    inner = [*get_args(annotation), *getattr(annotation, "__metadata__", ())]
    return [annotation, *(part for member in inner for part in parts_of(member))]


def choices_of(annotation: Any) -> tuple[str, ...]:
    """The allowed values of a field that has only a few; empty for any other field."""
    return tuple(str(value) for part in parts_of(annotation) if get_origin(part) is Literal for value in get_args(part))


def _one_of(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
