"""What a validator says, in words that follow the name of a field."""

import pytest

from gateway.violations import in_words


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        ("Expected `str`, got `int`", "must be a string, not a whole number"),
        ("Expected `int | str | null`, got `array`", "must be a whole number, a string or null, not an array"),
        ("Expected `bool`, got `float`", "must be true or false, not a number"),
        ("Expected `int` >= -1", "must be at least -1"),
        ("Expected `int` <= 10", "must be at most 10"),
        ("Expected `str` of length >= 1", "must have at least 1 character"),
        ("Expected `str` of length <= 64", "must have at most 64 characters"),
        ("Expected `array` of length <= 2", "must have at most 2 items"),
        ("Integer value out of range", "is out of range"),
        ("Expected `str` matching regex '^a'", "does not have the expected form"),
    ],
)
def test_a_problem_is_told_without_the_words_of_the_validator(problem: str, words: str) -> None:
    """Kinds, bounds and lengths are told as a person would tell them."""
    assert in_words(problem) == words


def test_choices_examples_and_the_environment_have_words_of_their_own() -> None:
    """Allowed values are listed, a pattern gets an example, and the environment has nothing but strings."""
    assert in_words("Invalid enum value 'x'", ("a", "b", "c")) == "must be a, b or c"
    assert in_words("Expected `str` matching regex '^/'", example="/realtime") == "must look like /realtime"
    assert in_words("Expected `int`, got `str`", names_given=False) == "must be a whole number"
