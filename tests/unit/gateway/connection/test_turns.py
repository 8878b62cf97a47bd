"""The queue of turns: who has a turn when, and for how long the loop is held up."""

import asyncio

from gateway.connection.turns import Turns


class Socket:
    """A socket with so many turns of bytes, each of which takes so many seconds."""

    def __init__(self, name: str, turns: Turns, clock: "Clock", *, left: int, seconds: float = 0.001) -> None:
        self.name = name
        self.left = left
        self._turns = turns
        self._clock = clock
        self._seconds = seconds

    def take_turn(self) -> None:
        """Use the time, and enter the queue again."""
        self._clock.now += self._seconds
        self._clock.log.append(self.name)
        self.left -= 1
        if self.left:
            self._turns.enter(self)


class Clock:
    """A clock that stands still but for the turns, and the log of these."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log: list[str] = []

    def __call__(self) -> float:
        """The time."""
        return self.now


async def turns_of_the_loop(clock: Clock) -> list[list[str]]:
    """Let the loop turn until nobody waits; who had a turn in each."""
    turns: list[list[str]] = []
    while True:
        clock.log = []
        await asyncio.sleep(0)
        if not clock.log:
            return turns
        turns.append(clock.log)


async def test_every_socket_has_one_turn_before_any_has_two() -> None:
    """The queue is a round robin, and one turn of the loop gives no socket two turns."""
    clock = Clock()
    turns = Turns(clock=clock, share_seconds=1)
    for name, left in (("a", 3), ("b", 1), ("c", 2)):
        turns.enter(Socket(name, turns, clock, left=left))
    assert await turns_of_the_loop(clock) == [["a", "b", "c"], ["a", "c"], ["a"]]


async def test_the_sockets_together_hold_up_the_loop_for_a_share_of_time() -> None:
    """When the share is used, the rest of the queue waits for the next turn of the loop, where it goes on."""
    clock = Clock()
    turns = Turns(clock=clock, share_seconds=0.002)
    for name in "abcde":
        turns.enter(Socket(name, turns, clock, left=1))
    assert await turns_of_the_loop(clock) == [["a", "b"], ["c", "d"], ["e"]]


async def test_a_turn_longer_than_the_share_is_taken_alone() -> None:
    """Even then each turn of the loop has one."""
    clock = Clock()
    turns = Turns(clock=clock, share_seconds=0.002)
    for name in "ab":
        turns.enter(Socket(name, turns, clock, left=2, seconds=1))
    assert await turns_of_the_loop(clock) == [["a"], ["b"], ["a"], ["b"]]


async def test_a_turn_that_fails_does_not_stop_the_others() -> None:
    """The loop reports the error of one socket; the next sockets have their turns."""
    clock = Clock()
    turns = Turns(clock=clock, share_seconds=1)

    class Broken:
        """A socket with a fault."""

        def take_turn(self) -> None:
            """Raise."""
            raise ZeroDivisionError

    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context.get("exception")))
    turns.enter(Broken())
    turns.enter(Socket("a", turns, clock, left=1))
    await asyncio.sleep(0)
    assert await turns_of_the_loop(clock) == [["a"]]
    assert [type(failure) for failure in failures] == [ZeroDivisionError]
