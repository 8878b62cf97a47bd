"""The steps of a start that leave nothing running: ending leftovers, the limit of open files, the migrations."""

import asyncio
import resource
from collections.abc import Callable

from cluster.process.launch import start_async
from cluster.state import records
from cluster.state.home import Home
from cluster.supervisor.errors import StartError
from cluster.supervisor.launch_factory import LaunchFactory

# More open files would cost the balancer memory, and no local cluster needs more.
_MAX_OPEN_FILES = 200_000
_LEFTOVER_SECONDS = 10.0


def raise_open_files() -> int:
    """Allow this process and its children as many open files as the system permits; return the number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft >= wanted:
        return soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def kill_leftovers(home: Home, report: Callable[[str], None]) -> None:
    """Kill the processes that a killed supervisor left behind; process number and start time identify them."""
    record = records.read(home.state)
    if record is None:
        return
    count = records.kill_all(record.processes, _LEFTOVER_SECONDS)
    if count:
        report(f"ended {count} processes that an earlier cluster left behind")
    home.state.unlink(missing_ok=True)


async def migrate(launches: LaunchFactory, home: Home) -> None:
    """Apply the migrations in a process of their own. Raises StartError with the output of that process."""
    log = home.log("migrate")
    log.unlink(missing_ok=True)
    process = await start_async(launches.migrate(), log)
    try:
        code = await process.wait()
    except asyncio.CancelledError:
        process.kill()
        raise
    if code != 0:
        raise StartError(f"the migrations failed:\n{log.read_text(errors='replace').strip()}")
