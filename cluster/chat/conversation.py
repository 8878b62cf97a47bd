"""A conversation: lines of the terminal become messages, events become lines, until the input or the session ends."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from seance_client import (
    AbuseError,
    Client,
    ConnectTimeoutError,
    EndedError,
    ForbiddenError,
    NameTakenError,
    SeanceError,
    SessionFullError,
    SessionNotFoundError,
    UnauthorizedError,
)

from cluster.chat.terminal import Terminal
from cluster.chat.transcript import Line, Transcript, plain

# Messages that were sent and are not acknowledged yet.
_UNDER_WAY = 64
_QUIT = frozenset({"/quit", "/leave", "/exit"})
_REMEDIES: dict[type[EndedError], str] = {
    AbuseError: "wait a minute before you come back",
    UnauthorizedError: "is --password or --token right?",
    ForbiddenError: "this token is for another session",
    NameTakenError: "choose another --name",
    SessionFullError: "try again when somebody has left",
    SessionNotFoundError: "check the id, or make a session with --create",
}


class Conversation:
    """One client at one terminal. `timeout_seconds` limits the first connection, and each message."""

    def __init__(self, client: Client, terminal: Terminal, timeout_seconds: float) -> None:
        self._client = client
        self._terminal = terminal
        self._timeout_seconds = timeout_seconds
        self._slots = asyncio.Semaphore(_UNDER_WAY)
        self._has_failed = False
        self._has_joined = False

    async def run(self) -> bool:
        """Send and show until the end; return whether every message has arrived, and nothing else went wrong."""
        showing = asyncio.create_task(self._show(), name="chat-events")
        async with _stopped_by_signals() as stopped:
            if await self._do(self._connect(), stopped):
                await self._do(self._send_all(), showing, stopped)
        await self._client.leave()
        await showing
        return not self._has_failed

    async def _do(self, work: Coroutine[Any, Any, None], *ends: "asyncio.Task[Any]") -> bool:
        """Do the work unless one of `ends` finishes before; return whether the work is done and the client goes on."""
        doing = asyncio.create_task(work, name="chat-work")
        await asyncio.wait({doing, *ends}, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            doing.cancel()
            await asyncio.wait({doing})
            return False
        doing.result()
        return not self._client.has_ended

    async def _show(self) -> None:
        transcript = Transcript()
        try:
            async for event in self._client:
                line = transcript.line(event)
                if line is not None:
                    self._terminal.show(line)
        except EndedError as error:
            remedy = self._remedy(error)
            self._fail(f"it is over: {error.reason or error}" + (f"; {remedy}" if remedy else ""))

    def _remedy(self, error: EndedError) -> str | None:
        """What the person can do about it."""
        if isinstance(error, UnauthorizedError) and self._has_joined:
            return "your access has ended: come back with a new --token, or with --name"
        return next((text for kind, text in _REMEDIES.items() if isinstance(error, kind)), None)

    async def _connect(self) -> None:
        try:
            await self._client.connect(timeout=self._timeout_seconds)
            self._has_joined = True
        except ConnectTimeoutError as error:
            self._fail(str(error))
        except EndedError:
            # `_show` gets the same error from the client, and says why.
            self._has_failed = True

    async def _send_all(self) -> None:
        """Send every line; return when all are acknowledged."""
        async with asyncio.TaskGroup() as sends:
            while (line := await self._terminal.read_line()) is not None:
                if self._terminal.is_interactive and line.strip() in _QUIT:
                    return
                if line.strip():
                    await self._slots.acquire()
                    sends.create_task(self._send(line), name="chat-send")

    async def _send(self, line: str) -> None:
        try:
            await self._client.send(line.strip(), timeout=self._timeout_seconds)
        except SeanceError as error:
            # When the client has ended, every message fails; `_show` says why, once.
            if not isinstance(error, EndedError):
                self._terminal.show(Line(f"* not sent: {plain(line.strip()[:60])} … {error}", is_note=True))
            self._has_failed = True
        finally:
            self._slots.release()

    def _fail(self, text: str) -> None:
        self._terminal.show(Line(f"* {plain(text)}", is_note=True))
        self._has_failed = True


@contextlib.asynccontextmanager
async def _stopped_by_signals() -> AsyncIterator["asyncio.Task[bool]"]:
    """A task that ends at Ctrl-C, SIGTERM or when the terminal goes away."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    stop = asyncio.Event()
    for number in signals:
        loop.add_signal_handler(number, stop.set)
    waiting = asyncio.create_task(stop.wait(), name="chat-signals")
    try:
        yield waiting
    finally:
        waiting.cancel()
        for number in signals:
            loop.remove_signal_handler(number)
