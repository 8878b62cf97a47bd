"""The output of `seance up` in the foreground: plain lines, and on a terminal a live table below the lines."""

import asyncio
import os
import sys
from collections.abc import Callable
from typing import Protocol

from cluster.console import summary
from cluster.console.counted import counted
from cluster.state.status import Status

_REFRESH_SECONDS = 0.5


class View(Protocol):
    """The output of the supervisor."""

    def line(self, text: str) -> None:
        """Show a line about an event."""

    async def watch(self, look: Callable[[], Status]) -> None:
        """Show the status until cancelled; called when everything runs."""


class PlainView:
    """Lines on standard output, for logs and pipes."""

    def line(self, text: str) -> None:
        """Print it at once."""
        print(text, flush=True)  # noqa: T201 - this is the command's output

    async def watch(self, look: Callable[[], Status]) -> None:
        """Print the status once; later changes are reported line by line."""
        for text in lines(look()):
            self.line(text)


def lines(status: Status) -> list[str]:
    """The status as lines, one for each process, without passwords."""
    shown = [f"clients: {status.url}", f"chat: {status.url}/chat"]
    for gateway in status.gateways:
        restarts = _restarts(gateway.restarts)
        shown.append(
            f"{gateway.id:<10} {gateway.state:<9} {gateway.url}  pid {gateway.pid or '-'}  "
            f"{counted(gateway.sockets, 'socket')}, {counted(gateway.sessions, 'session')}, "
            f"{gateway.events_rate:.0f} events/s, {gateway.deliveries_rate:.0f} deliveries/s{restarts}"
        )
    for worker in status.workers:
        pid, restarts = worker.pid or "-", _restarts(worker.restarts)
        shown.append(f"{worker.id:<10} {worker.state:<9} {worker.url}  pid {pid}  lag {worker.lag}{restarts}")
    shown += [
        f"{service.name:<10} {'running' if service.pid else 'stopped':<9} pid {service.pid or '-'}"
        for service in status.services
    ]
    if status.gateways:
        shown += [summary.text(facts) for facts in summary.of(status)]
    return shown


def _restarts(count: int) -> str:
    return f", restarted {'once' if count == 1 else f'{count} times'}" if count else ""


def choose(*, is_terminal: bool | None = None) -> View:
    """The live view on a terminal, plain lines elsewhere."""
    if is_terminal is None:
        is_terminal = sys.stdout.isatty()
    return LiveView() if is_terminal else PlainView()


def flush_or_drop() -> None:
    """Write out the rest of the output, or drop it when the reader is gone: else Python would exit with 120."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


class LiveView:
    """Rich's live display, drawn from the event loop: a drawing thread could hold a lock while the supervisor forks."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console()

    def line(self, text: str) -> None:
        """Print it above the table."""
        self._console.print(text, markup=False, highlight=False)

    async def watch(self, look: Callable[[], Status]) -> None:
        """Redraw the table twice a second until cancelled."""
        from rich.live import Live

        from cluster.console.table import table

        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            while True:
                live.update(table(look(), self._console.width), refresh=True)
                await asyncio.sleep(_REFRESH_SECONDS)
