"""What may be asked of a running supervisor, one change at a time; the answer streams what happens meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from cluster.control.protocol import Done, GetStatus, Line, Reply, Request, Restart, Scale, Stop
from cluster.state.status import Status
from cluster.supervisor.errors import StartError
from cluster.supervisor.replicas import Replicas


class Operations:
    """Handles control requests.

    `status` looks anew and says how everything is. `stop` sets off the shutdown. `replicas` is None while starting.
    """

    def __init__(
        self,
        tasks: asyncio.TaskGroup,
        *,
        status: Callable[[], Awaitable[Status]],
        stop: Callable[[], None],
        replicas: Callable[[], Replicas | None],
        has_balancer: bool,
    ) -> None:
        self._tasks = tasks
        self._status = status
        self._stop = stop
        self._replicas = replicas
        self._has_balancer = has_balancer
        self._changing = asyncio.Lock()
        self._running: set[asyncio.Task[None]] = set()
        self._listeners: set[asyncio.Queue[Reply]] = set()

    def publish(self, text: str) -> None:
        """Pass a line on to everyone who waits for an answer."""
        for listener in self._listeners:
            listener.put_nowait(Line(text))

    async def handle(self, request: Request) -> AsyncIterator[Reply]:
        """Carry out a request; the last reply is a Done."""
        if isinstance(request, GetStatus):
            yield Done(status=await self._status())
            return
        replies: asyncio.Queue[Reply] = asyncio.Queue()
        self._listeners.add(replies)
        try:
            self._begin(request, replies)
            while True:
                reply = await replies.get()
                yield reply
                if isinstance(reply, Done):
                    return
        finally:
            self._listeners.discard(replies)

    async def finish(self) -> None:
        """End the changes that are under way."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def dismiss(self) -> None:
        """Tell everyone who still waits that all is over, and let the answers go out."""
        for listener in self._listeners:
            listener.put_nowait(Done())
        for _ in range(100):
            if not self._listeners:
                return
            await asyncio.sleep(0.01)

    def _begin(self, request: Request, replies: asyncio.Queue[Reply]) -> None:
        """Start the change as a task of the supervisor: it goes on when the one who asked goes away."""
        if isinstance(request, Stop):
            self._stop()
            return
        task = self._tasks.create_task(self._change(request, replies), name=f"operation {type(request).__name__}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _change(self, request: Request, replies: asyncio.Queue[Reply]) -> None:
        problem: str | None = "the cluster is being stopped"
        try:
            async with self._changing:
                await self._carry_out(request)
            problem = None
        except StartError as error:
            problem = str(error)
        finally:
            replies.put_nowait(Done(problem))

    async def _carry_out(self, request: Request) -> None:
        replicas = self._replicas()
        if replicas is None:
            raise StartError("the cluster is still starting; try again in a moment")
        match request:
            case Scale(gateways=gateways, workers=workers):
                if gateways is not None and gateways > 1 and not self._has_balancer:
                    raise StartError("there is no balancer here: one gateway serves the port directly")
                if workers is not None:
                    await replicas.scale_workers(workers)
                if gateways is not None:
                    await replicas.scale_gateways(gateways)
            case Restart():
                await replicas.restart_gateways()
            case _:
                raise StartError(f"not a change: {type(request).__name__}")
