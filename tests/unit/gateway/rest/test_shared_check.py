"""A server is asked at most once a second, whoever wants to know."""

import asyncio

from broker.errors import BrokerUnavailableError
from gateway.rest.shared_check import SharedCheck
from tests.waiting import eventually


class Server:
    """Counts how often it was asked; answers when `answer` is set."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer = asyncio.Event()
        self.is_away = False

    async def ping(self) -> None:
        """Answer, or be away."""
        self.asked += 1
        await self.answer.wait()
        if self.is_away:
            raise BrokerUnavailableError("away")


async def test_callers_of_one_moment_share_one_question() -> None:
    """A flood of requests asks once, and a caller that goes away does not end the question of the others."""
    server = Server()
    check = SharedCheck(server.ping, seconds=60)
    callers = [asyncio.create_task(check.is_up()) for _ in range(100)]
    await asyncio.sleep(0)
    callers[0].cancel()
    server.answer.set()
    assert await asyncio.gather(*callers[1:]) == [True] * 99
    server.is_away = True
    assert await check.is_up()
    assert server.asked == 1


async def test_the_next_question_comes_after_the_interval() -> None:
    """When the result is old, the server is asked again."""
    server = Server()
    server.answer.set()
    check = SharedCheck(server.ping, seconds=0.01)
    assert await check.is_up()
    server.is_away = True

    async def is_down() -> bool:
        return not await check.is_up()

    await eventually(is_down)
    assert server.asked == 2
