"""The requests to a running supervisor, one change at a time; the answer streams what happens meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

from cluster.control.protocol import Done, GetStatus, Line, Reply, Request, Restart, Scale, Stop
from cluster.state.status import Status
from cluster.supervisor.errors import StartError
from cluster.supervisor.replicas import Replicas

# A command that does not read its last reply by then is gone.
_LAST_REPLY_SECONDS = 1.0


class Operations:
    """Handles control requests.

    `status` looks at every replica and returns the status. `stop` begins the shutdown. `replicas` returns None during
    the start.
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
        self._all_answered = asyncio.Event()

    def publish(self, text: str) -> None:
        """Send a line to every command that waits for its answer."""
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
            if not self._listeners:
                self._all_answered.set()

    async def finish(self) -> None:
        """End the changes that are under way."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def dismiss(self) -> None:
        """Send the last reply to every command that still waits; return when all have read theirs, or after a while."""
        self._all_answered.clear()
        if not self._listeners:
            return
        for listener in self._listeners:
            listener.put_nowait(Done())
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_REPLY_SECONDS):
                await self._all_answered.wait()

    def _begin(self, request: Request, replies: asyncio.Queue[Reply]) -> None:
        """Start the change as a task of the supervisor, so that the change goes on when the command goes away."""
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
