"""Passwords are hashed and verified off the event loop, in fair turns and in bounded numbers."""

import asyncio
from collections.abc import Iterator

import pytest

from gateway.access.password_hashes import PasswordHashError, get_password_hash
from gateway.access.passwords import Passwords, PasswordsBusyError

STORED = get_password_hash("open sesame")


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    made = Passwords(per_session=600, per_client=2, total=1000)
    yield made
    made.close()


def guesses(passwords: Passwords, count: int, *, session_id: str = "a") -> list[asyncio.Task[bool]]:
    """Attempts with a wrong password."""
    verify = passwords.verify
    return [asyncio.create_task(verify(f"guess {n}", STORED, session_id=session_id)) for n in range(count)]


def finished(tasks: list[asyncio.Task[bool]]) -> int:
    """How many of the attempts have an answer."""
    return sum(task.done() for task in tasks)


async def test_passwords_are_hashed_and_verified(passwords: Passwords) -> None:
    """The threads give the results of the plain functions."""
    stored = await passwords.hash("open sesame", client="c")
    assert await passwords.verify("open sesame", stored, session_id="a")
    assert not await passwords.verify("open barley", stored, session_id="a")
    with pytest.raises(PasswordHashError):
        await passwords.verify("open sesame", "damaged", session_id="a")


async def test_600_guesses_at_one_session_delay_no_other(passwords: Passwords) -> None:
    """A user of another session has an answer after the guess that is being computed and one more at most."""
    attack = guesses(passwords, 600)
    await asyncio.sleep(0)  # all 600 wait
    for _ in range(3):
        before = finished(attack)
        assert await passwords.verify("open sesame", STORED, session_id="b")
        assert finished(attack) - before <= 2
    assert finished(attack) < 10


async def test_guesses_do_not_delay_new_sessions(passwords: Passwords) -> None:
    """Hashing has a thread and a queue of its own."""
    attack = guesses(passwords, 600)
    await asyncio.sleep(0)
    assert await passwords.hash("open sesame", client="c")
    assert finished(attack) < 300


async def test_calls_beyond_the_bounds_are_refused(passwords: Passwords) -> None:
    """Calls beyond a client's bound are refused at once; a finished call makes room, and other clients have theirs."""
    calls = [asyncio.create_task(passwords.hash(f"password {n}", client="c")) for n in range(6)]
    other = asyncio.create_task(passwords.hash("password", client="d"))
    results = await asyncio.gather(*calls, return_exceptions=True)
    # One is being computed, and two wait.
    assert [isinstance(result, PasswordsBusyError) for result in results] == [False] * 3 + [True] * 3
    assert await other
    assert await passwords.hash("afterwards", client="c")


async def test_a_displaced_call_is_told_that_all_are_busy() -> None:
    """When the queue is full, the call that makes room fails; the one for which it did gets its answer."""
    passwords = Passwords(per_session=3, total=3)
    attack = guesses(passwords, 4)
    await asyncio.sleep(0)
    assert await passwords.verify("open sesame", STORED, session_id="b")
    results = await asyncio.gather(*attack, return_exceptions=True)
    assert [isinstance(result, PasswordsBusyError) for result in results] == [False, False, False, True]
    passwords.close()


async def test_a_client_that_is_gone_costs_no_hash(passwords: Passwords) -> None:
    """Waiting calls that are cancelled are passed over."""
    attack = guesses(passwords, 600)
    await asyncio.sleep(0)
    for task in attack:
        task.cancel()
    await asyncio.gather(*attack, return_exceptions=True)
    last = guesses(passwords, 1)[0]
    assert await last is False
    assert all(task.cancelled() for task in attack)


async def test_closing_cancels_what_waits() -> None:
    """Nobody waits for an answer that will not come."""
    passwords = Passwords()
    attack = guesses(passwords, 5)
    await asyncio.sleep(0)
    passwords.close()
    results = await asyncio.gather(*attack, return_exceptions=True)
    assert sum(isinstance(result, asyncio.CancelledError) for result in results) >= 4


async def test_the_loop_runs_while_a_password_is_hashed(passwords: Passwords) -> None:
    """The event loop runs other tasks while a password is hashed."""
    turns = 0
    task = asyncio.create_task(passwords.hash("open sesame", client="c"))
    while not task.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 10
