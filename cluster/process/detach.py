"""`seance up --detach`: the supervisor in the background, and its output in the foreground until all is ready."""

import os
import subprocess
import sys
import time
from pathlib import Path

from cluster.state import records
from cluster.state.home import Home, settings_folder

_POLL_SECONDS = 0.05


def start_detached(home: Home, options: tuple[str, ...] = ()) -> int:
    """Start the supervisor in a session of its own, print its output until all is ready, and return the exit code.

    Ctrl-C before that stops the supervisor.
    """
    home.make()
    log = home.log("supervisor")
    log.touch(mode=0o600)
    printed = log.stat().st_size
    process = _start(home, log, options)
    is_interrupted = False
    while True:
        try:
            ended = process.poll()
            printed = _print_new_lines(log, printed)
            if ended is not None:
                return ended or int(is_interrupted)
            if _is_ready(home, process.pid):
                return 0
            time.sleep(_POLL_SECONDS)
        except KeyboardInterrupt:
            is_interrupted = True
            process.terminate()


def _start(home: Home, log: Path, options: tuple[str, ...]) -> subprocess.Popen[bytes]:
    argv = (sys.executable, "-m", "cluster", "up", "--no-detach", "--home", str(home.root), *options)
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - our own command
            argv,
            cwd=settings_folder(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=dict(os.environ),
        )


def _print_new_lines(log: Path, printed: int) -> int:
    """Print the whole lines of the log after the first `printed` bytes; return the new number of printed bytes."""
    with log.open("rb") as file:
        file.seek(printed)
        new = file.read()
    whole = new[: new.rfind(b"\n") + 1]
    sys.stdout.write(whole.decode(errors="replace"))
    sys.stdout.flush()
    return printed + len(whole)


def _is_ready(home: Home, pid: int) -> bool:
    record = records.read(home.state)
    return record is not None and record.supervisor.pid == pid and record.is_ready
