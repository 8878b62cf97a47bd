"""The deadlines that are near, on a virtual clock."""

import asyncio
import itertools

from gateway.connection.deadlines import AT_ONCE, Deadlines
from tests.virtual_time import VirtualTimeLoop, run


class Client:
    """A connection that records when its deadline came."""

    def __init__(self) -> None:
        self.came_at: list[float] = []

    def deadline(self) -> None:
        """Record the time."""
        self.came_at.append(asyncio.get_running_loop().time())


def test_each_deadline_comes_at_its_time() -> None:
    """Deadlines come in the order of their times, in whatever order they were entered; two of one client both come."""

    async def entered() -> list[list[float]]:
        deadlines, clients = Deadlines(), [Client() for _ in range(3)]
        for at, number in ((5.0, 0), (2.0, 1), (9.0, 2), (7.0, 1)):
            deadlines.add(at, clients[number])
        await asyncio.sleep(6)
        deadlines.add(1.0, clients[0])  # over already: at once
        await asyncio.sleep(10)
        return [client.came_at for client in clients]

    assert run(entered()) == [[5.0, 6.0], [2.0, 7.0], [9.0]]


def test_many_at_once_leave_the_loop_to_others() -> None:
    """Of many deadlines at the same moment a few are handled in each turn of the loop."""

    async def turns() -> list[int]:
        deadlines, clients = Deadlines(), [Client() for _ in range(3 * AT_ONCE)]
        for client in clients:
            deadlines.add(1.0, client)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        await asyncio.sleep(0.5)
        loop.pass_time(0.5)
        counts: list[int] = []
        while not counts or counts[-1] < len(clients):
            await asyncio.sleep(0)
            counts.append(sum(len(client.came_at) for client in clients))
        return counts

    counts = [0, *run(turns())]
    assert max(after - before for before, after in itertools.pairwise(counts)) <= AT_ONCE
