"""What may be asked of a supervisor, with the supervisor's own task group."""

import asyncio
from collections.abc import AsyncIterator

from cluster.control.protocol import Done, GetStatus, Line, Reply, Restart, Scale, Stop
from cluster.state.status import Status
from cluster.supervisor.operations import Operations


async def answer(status: Status) -> Status:
    return status


def operations(tasks: asyncio.TaskGroup, stop: asyncio.Event) -> Operations:
    """Those of a supervisor that is still starting."""
    return Operations(
        tasks,
        status=lambda: answer(Status(url="here")),
        stop=stop.set,
        replicas=lambda: None,
        has_balancer=True,
    )


async def everything(replies: AsyncIterator[Reply]) -> list[Reply]:
    return [reply async for reply in replies]


async def test_the_status_is_the_only_reply() -> None:
    """The status comes with the last reply, and there is no other."""
    async with asyncio.TaskGroup() as tasks:
        asked = operations(tasks, asyncio.Event())
        assert await everything(asked.handle(GetStatus("t"))) == [Done(status=Status(url="here"))]


async def test_a_change_during_the_start_is_refused() -> None:
    """Before the replicas exist, a change is refused, and the reply says why."""
    async with asyncio.TaskGroup() as tasks:
        asked = operations(tasks, asyncio.Event())
        for request in (Scale("t", gateways=2), Restart("t")):
            (done,) = await everything(asked.handle(request))
            assert isinstance(done, Done)
            assert "still starting" in str(done.problem)


async def test_a_stop_streams_every_line_until_the_end() -> None:
    """A command that asks for the stop gets every line until the shutdown is complete."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        asked = operations(tasks, stop)
        replies = tasks.create_task(everything(asked.handle(Stop("t"))))
        await stop.wait()
        asked.publish("one")
        asked.publish("two")
        await asked.finish()
        await asked.dismiss()
        assert await replies == [Line("one"), Line("two"), Done()]
