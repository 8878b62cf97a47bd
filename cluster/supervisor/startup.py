"""The steps of a start that leave nothing running: leftovers, open files, migrations, the installation's id."""

import asyncio
import resource
from collections.abc import Callable

from broker.errors import BrokerError, InstallationMismatchError
from broker.redis.link import connected
from cluster import database
from cluster.console.counted import counted
from cluster.process.launch import start_async
from cluster.state import records
from cluster.state.home import Home
from cluster.supervisor.errors import StartError
from cluster.supervisor.launch_factory import LaunchFactory
from gateway.settings import Settings
from persistence.errors import PersistenceError
from persistence.installation import Bond

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
        report(f"ended {counted(count, 'process', 'processes')} that an earlier cluster left behind")
    home.state.unlink(missing_ok=True)


async def check_bond(launches: LaunchFactory, settings: Settings) -> None:
    """Check that Redis and database belong together, as each gateway and worker does. Raises StartError."""
    engine = database.engine(settings, launches.database_url)
    timeout_seconds = settings.redis_timeout_seconds
    try:
        async with connected(launches.redis_url, timeout_seconds=timeout_seconds, name="seance-up") as link:
            await Bond(link, settings.keys, engine).check()
    except InstallationMismatchError as error:
        is_embedded = None in {launches.plan.redis_url, launches.plan.database_url}
        more = "; data of servers that `seance up` starts are removed by `make clean-data`" if is_embedded else ""
        raise StartError(f"{error}{more}") from error
    except (BrokerError, PersistenceError) as error:
        raise StartError(str(error)) from error
    finally:
        await engine.dispose()


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
