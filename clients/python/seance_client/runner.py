"""Performs the effects of the state machine on asyncio: one task connects and reads, one writes, and a timer."""

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Sequence

import msgspec

from seance_client.effects import Answer, AskToken, Dial, Effect, Emit, Fail, Hangup, Stop, Write
from seance_client.errors import LeftError, SeanceError, UsageError
from seance_client.events import Ack, Connected, Disconnected, Event
from seance_client.inbox import Inbox
from seance_client.machine import OPEN, Machine, Phase
from seance_client.policy import Policy
from seance_client.provider import Provider, TokenProvider
from seance_client.transport import (
    Connection,
    ConnectionEndedError,
    Connector,
    Target,
    UpgradeRefusedError,
    give_up_after,
)

# The messages in flight bound what the machine writes; this bounds frames without an answer, such as `typing`.
_MAX_OUTGOING = 256
_CLOSE_SECONDS = 5.0


class Runner:
    """Performs effects. `joined` is set at the first welcome, `ended` at the end; then `error` has the reason."""

    def __init__(
        self,
        machine: Machine,
        policy: Policy,
        connect: Connector,
        target: Target,
        *,
        get_token: TokenProvider | None,
        wants_events: bool,
    ) -> None:
        self.inbox = Inbox(policy.max_events)
        self.joined = asyncio.Event()
        self.ended = asyncio.Event()
        self.error: BaseException | None = None
        self.last_trouble = "nothing has answered yet"
        self._machine = machine
        self._policy = policy
        self._connect = connect
        self._target = target
        self._wants_events = wants_events
        self._provider = None if get_token is None else self._provider_of(get_token)
        self._answers: dict[int, asyncio.Future[Ack | None]] = {}
        self._connection: Connection | None = None
        self._outgoing: deque[bytes] = deque()
        self._has_outgoing = asyncio.Event()
        self._changed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        # Kept here: uvloop's handle does not give the time of a timer that has fired.
        self._fires_at = math.inf
        self._task: asyncio.Task[None] | None = None

    def start(self, name: str) -> None:
        """Start, in a task of this name. Raises UsageError the second time."""
        if self._task is not None:
            raise UsageError("a client connects once; it comes back by itself")
        self._task = asyncio.create_task(self._run(), name=name)

    async def close(self) -> None:
        """End, unless already ended, and wait until all tasks and the connection are closed."""
        self.step(self._machine.close())
        if self._task is None:
            return
        connection = self._connection
        if connection is not None:
            await connection.close()
            await asyncio.wait({self._task}, timeout=_CLOSE_SECONDS)
        self._task.cancel()
        await asyncio.wait({self._task})

    def now(self) -> float:
        """The clock of the machine."""
        return asyncio.get_running_loop().time()

    def check(self) -> None:
        """Check that the client can take commands. Raises UsageError, or the error that ended the client."""
        if self._task is None:
            raise UsageError("connect first")
        if self.ended.is_set():
            raise self.error if isinstance(self.error, SeanceError) else LeftError(1000, "this client has ended")

    @property
    def is_congested(self) -> bool:
        """Whether so many frames wait to be written that unimportant ones should be left out."""
        return len(self._outgoing) >= _MAX_OUTGOING

    async def answer(self, command_id: int, effects: Sequence[Effect]) -> Ack | None:
        """Perform the effects of a command and wait for its answer."""
        answer: asyncio.Future[Ack | None] = asyncio.get_running_loop().create_future()
        self._answers[command_id] = answer
        try:
            self.step(effects)
            return await answer
        finally:
            del self._answers[command_id]

    def step(self, effects: Sequence[Effect]) -> None:
        """Perform the effects, without waiting, and set the timer."""
        for effect in effects:
            self._carry_out(effect)
        deadline = self._machine.deadline
        # A timer that fires too early does no harm; a new timer for every frame would cost time.
        if deadline is not None and deadline < self._fires_at:
            self._set_timer(deadline)

    def _provider_of(self, get_token: TokenProvider) -> Provider:
        return Provider(
            get_token,
            self._policy.token_timeout,
            lambda token: self.step(self._machine.provided(token, self.now())),
            lambda reason: self.step(self._machine.unprovided(reason, self.now())),
        )

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Write(frame):
                self._outgoing.append(frame)
                self._has_outgoing.set()
            case Emit(event):
                self._emit(event)
            case Answer(command_id) | Fail(command_id):
                _settle(self._answers.get(command_id), effect)
            case Hangup():
                self._hang_up()
            case Dial(url):
                self._target = msgspec.structs.replace(self._target, url=url)
                self._changed.set()
            case AskToken():
                if self._provider is not None:
                    self._provider.ask()
            case Stop(error):
                self._end(error)

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()

    def _emit(self, event: Event) -> None:
        match event:
            case Connected():
                self.joined.set()
            case Disconnected(code, reason):
                self.last_trouble = f"{reason or 'disconnected'} ({code})"
        if self._wants_events:
            self.inbox.put(event)

    def _end(self, error: BaseException | None) -> None:
        if self.ended.is_set():
            return
        self.error = error
        self.inbox.close(error)
        for event in (self.ended, self.joined, self._changed):
            event.set()

    def _set_timer(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(deadline, self._tick)
        self._fires_at = deadline

    def _tick(self) -> None:
        self._timer, self._fires_at = None, math.inf
        self.step(self._machine.tick(self.now()))

    async def _run(self) -> None:
        """Connect, serve and wait, until the client ends."""
        try:
            self.step(self._machine.start())
            while self._machine.phase is not Phase.STOPPED:
                await self.inbox.room()
                self._changed.clear()
                if self._machine.phase is Phase.DIALING:
                    await self._dial()
                elif self._machine.phase in {Phase.WAITING, Phase.ASKING}:
                    await self._changed.wait()
        except Exception as error:
            self._end(error)
            raise
        finally:
            self.step(self._machine.close())
            if self._provider is not None:
                await self._provider.close()
            if self._timer is not None:
                self._timer.cancel()

    async def _dial(self) -> None:
        try:
            connection = await give_up_after(self._policy.open_timeout, self._connect(self._target))
        except UpgradeRefusedError as refused:
            self.step(self._machine.refused(refused.status, refused.retry_after, refused.reason, self.now()))
        except OSError as error:
            self.step(self._machine.lost(1006, str(error) or type(error).__name__, self.now()))
        else:
            await self._serve(connection)

    async def _serve(self, connection: Connection) -> None:
        self._outgoing.clear()
        self._connection = connection
        writer = asyncio.create_task(self._write(connection), name="seance-client-writer")
        try:
            self.step(self._machine.opened(self.now()))
            while self._connection is connection and self._machine.phase in OPEN:
                self.step(self._machine.heard(await connection.receive(), self.now()))
                if self.inbox.is_full:
                    await self._pause()
        except ConnectionEndedError as ended:
            if self._connection is connection:
                self.step(self._machine.lost(ended.code, ended.reason, self.now()))
        finally:
            self._connection = None
            writer.cancel()
            await asyncio.wait({writer})
            await connection.close()

    async def _pause(self) -> None:
        """Read nothing until the application has made room."""
        self._machine.paused()
        await self.inbox.room()
        self._machine.resumed(self.now())
        self.step(())

    async def _write(self, connection: Connection) -> None:
        """Send the queued frames, in order; the reader notices the end of the connection."""
        with contextlib.suppress(ConnectionEndedError):
            while True:
                while self._outgoing:
                    await connection.send(self._outgoing.popleft())
                self._has_outgoing.clear()
                await self._has_outgoing.wait()


def _settle(answer: "asyncio.Future[Ack | None] | None", effect: Answer | Fail) -> None:
    """Give the outcome of a command to its caller."""
    if answer is None or answer.done():
        return
    match effect:
        case Answer(ack=ack):
            answer.set_result(ack)
        case Fail(error=error):
            answer.set_exception(error)
