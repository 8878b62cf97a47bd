"""Where a local cluster keeps its data, logs and state: one folder per checkout or user."""

import fcntl
import functools
import os
import time
from pathlib import Path
from typing import Self

import msgspec
import platformdirs

# `is_running` takes the lock for a moment, so that a lock that is taken may be free at once.
_PATIENCE_SECONDS = 0.2
_POLL_SECONDS = 0.01


def checkout() -> Path:
    """The folder that holds the packages of the project: a checkout, or `site-packages` when it was installed."""
    return Path(__file__).resolve().parent.parent.parent


def is_checkout() -> bool:
    """Whether this runs from a checkout; else `seance` was installed from a wheel."""
    return (checkout() / "pyproject.toml").is_file()


@functools.cache
def settings_folder() -> Path:
    """The folder whose `.env` is read: the checkout, or for an installed `seance` its working folder.

    Kept from the first call: the supervisor changes its working folder later.
    """
    return checkout() if is_checkout() else Path.cwd()


def default_root() -> Path:
    """The folder of a cluster that is not named: in the checkout, or where the platform keeps data of programs."""
    return checkout() / ".seance" if is_checkout() else Path(platformdirs.user_data_dir("seance", appauthor=False))


def command(name: str) -> str:
    """How a person starts a command of `seance` here."""
    return f"make {name}" if is_checkout() else f"seance {name}"


class AlreadyRunningError(Exception):
    """Another supervisor holds the lock of this home."""


class Home(msgspec.Struct, frozen=True):
    """The folders and files of one cluster."""

    root: Path

    @property
    def data(self) -> Path:
        """The data of the embedded servers; `down` keeps it."""
        return self.root / "data"

    @property
    def logs(self) -> Path:
        """One log file per process."""
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """Files of the running cluster: the balancer's configuration and its socket."""
        return self.root / "run"

    @property
    def state(self) -> Path:
        """The running cluster's record (records.py)."""
        return self.root / "state.json"

    def log(self, name: str) -> Path:
        """The log file of one process."""
        return self.logs / f"{name}.log"

    def make(self) -> None:
        """Make the folders; others may at most pass through them."""
        self.root.mkdir(parents=True, exist_ok=True)
        # Started by root, PostgreSQL may run as another user, whose path to its data leads through here.
        self.root.chmod(0o711)
        self.data.mkdir(exist_ok=True)
        self.data.chmod(0o711)
        for folder in (self.logs, self.run):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o700)


class Lock:
    """Held by the supervisor of a home for its whole life; the system releases the lock when the process ends.

    `patience_seconds` is how long a lock must stay taken before it counts as another supervisor's.
    """

    def __init__(self, home: Home, *, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        self._path = home.root / "lock"
        self._patience_seconds = patience_seconds
        self._descriptor = -1

    def __enter__(self) -> Self:
        """Take the lock. Raises AlreadyRunningError."""
        deadline = time.monotonic() + self._patience_seconds
        self._descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600)
        while not _try_lock(self._descriptor):
            if time.monotonic() > deadline:
                os.close(self._descriptor)
                raise AlreadyRunningError(str(self._path.parent))
            time.sleep(_POLL_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def is_running(home: Home) -> bool:
    """Whether a supervisor holds the lock of this home."""
    try:
        descriptor = os.open(home.root / "lock", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        return not _try_lock(descriptor)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
