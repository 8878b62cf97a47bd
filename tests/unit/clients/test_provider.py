"""How the application is asked for tokens."""

import asyncio

from seance_client.provider import Provider, TokenProvider

SECONDS = 5.0


async def answer_of(get_token: TokenProvider, seconds: float = SECONDS) -> str | None:
    """What one question brings; a failure in angle brackets."""
    answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
    provider = Provider(get_token, seconds, answer.set_result, lambda reason: answer.set_result(f"<{reason}>"))
    provider.ask()
    provider.ask()
    async with asyncio.timeout(SECONDS):
        return await answer


async def test_the_application_answers_at_once_or_later() -> None:
    """A plain function and a coroutine function serve alike; an empty text is no token."""

    async def later() -> str:
        await asyncio.sleep(0)
        return "later"

    assert await answer_of(lambda: "at once") == "at once"
    assert await answer_of(later) == "later"
    assert await answer_of(lambda: None) is None
    assert await answer_of(lambda: "") is None


async def test_an_application_that_fails_or_hangs_is_named() -> None:
    """An exception and a time that is over are failures with a reason."""

    def fails() -> str:
        raise ZeroDivisionError

    async def hangs() -> str:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    assert await answer_of(fails) == "<the application gave no token: ZeroDivisionError>"
    assert await answer_of(hangs, seconds=0.01) == "<the application gave no token: TimeoutError>"


async def test_a_question_without_an_answer_ends_with_the_client() -> None:
    """Closing cancels the question, and no answer comes."""
    answers: list[str | None] = []

    async def hangs() -> str:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    provider = Provider(hangs, SECONDS, answers.append, answers.append)
    provider.ask()
    await asyncio.sleep(0)
    await provider.close()
    assert answers == []
