"""The child processes of a supervisor, and the record of them on disk."""

import asyncio
import secrets
import signal
from collections.abc import Callable

from cluster.process.child import Child
from cluster.process.launch import Launch
from cluster.state import records
from cluster.state.home import Home
from cluster.state.records import ProcessId, Record


class Children:
    """Starts children as tasks of the group, and rewrites the record whenever one starts or ends.

    `changed` is set at the same moments; the health loop waits for it.
    """

    def __init__(
        self, home: Home, tasks: asyncio.TaskGroup, supervisor: ProcessId, report: Callable[[str], None]
    ) -> None:
        self.changed = asyncio.Event()
        self.token = secrets.token_urlsafe(32)
        self._home = home
        self._tasks = tasks
        self._supervisor = supervisor
        self._report = report
        self._children: dict[Child, asyncio.Task[None]] = {}
        self._control_port = 0
        self._is_ready = False

    def add(self, name: str, make_launch: Callable[[], Launch]) -> Child:
        """Start a process and keep it running."""
        child = Child(name, make_launch, self._home.log(name), self._report, self._on_change)
        self._children[child] = self._tasks.create_task(child.run(), name=f"child {name}")
        return child

    def announce(self, *, control_port: int | None = None, is_ready: bool | None = None) -> None:
        """Write into the record how the supervisor is reached, and whether everything has started."""
        self._control_port = self._control_port if control_port is None else control_port
        self._is_ready = self._is_ready if is_ready is None else is_ready
        self._on_change()

    def send_all(self, with_signal: signal.Signals, *, spared: frozenset[str] = frozenset()) -> None:
        """Send a signal to every running child whose name is not in `spared`."""
        for child in self._children:
            if child.name not in spared:
                child.send(with_signal)

    def _on_change(self) -> None:
        for child, task in list(self._children.items()):
            if task.done():
                del self._children[child]
            else:
                child.limit_log()
        found = (records.identify(child.pid) for child in self._children if child.pid is not None)
        record = Record(
            supervisor=self._supervisor,
            control_port=self._control_port,
            token=self.token,
            is_ready=self._is_ready,
            processes=tuple(process for process in found if process is not None),
        )
        records.write(self._home.state, record)
        self.changed.set()
