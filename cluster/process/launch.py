"""Starts child processes that end with their parent, and for root also programs that refuse to run as root."""

import asyncio
import ctypes
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Literal

import msgspec

from broker.secrecy import concealed

_PR_SET_PDEATHSIG = 1
_CLONE_NEWUSER = 0x1000_0000
# The id of root inside its user namespace; outside, the files still belong to root.
_INSIDE_ID = 1000

# self: the current user. namespace: root, mapped to an ordinary id. nobody: root that becomes the user `nobody`.
Identity = Literal["self", "namespace", "nobody"]


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """How one process is started and stopped."""

    name: str
    argv: tuple[str, ...]
    folder: Path
    """Its working folder."""
    environment: Mapping[str, str] | None = None
    """None: the environment of this process."""
    identity: Identity = "self"
    stop_signal: signal.Signals = signal.SIGTERM
    orphan_signal: signal.Signals = signal.SIGKILL
    """The signal that the process gets when its parent dies without stopping it (Linux)."""

    def __repr__(self) -> str:
        return concealed(self, "environment")


def start(launch: Launch, log: Path) -> subprocess.Popen[bytes]:
    """Start the process with its output appended to `log`."""
    with log.open("ab") as output:
        return subprocess.Popen(launch.argv, **_options(launch, output))  # noqa: S603 - our own commands


async def start_async(launch: Launch, log: Path) -> asyncio.subprocess.Process:
    """`start` for an event loop. Call it in the main thread: the orphan signal is sent when the forking thread ends."""
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(*launch.argv, **_options(launch, output))


def run(launch: Launch) -> subprocess.CompletedProcess[bytes]:
    """Run the process to its end; its output is in the result."""
    options = _options(launch, subprocess.PIPE)
    return subprocess.run(launch.argv, check=False, **options)  # noqa: S603 - our own commands


def _options(launch: Launch, output: IO[bytes] | int) -> dict[str, Any]:
    return {
        "stdin": subprocess.DEVNULL,
        "stdout": output,
        "stderr": subprocess.STDOUT,
        "cwd": launch.folder if launch.identity == "self" else None,
        "env": launch.environment,
        # In a session of its own, the process gets no Ctrl-C: only the supervisor does, and stops all in order.
        "start_new_session": True,
        "preexec_fn": before_exec(launch.identity, launch.orphan_signal, launch.folder),
    }


def before_exec(identity: Identity, orphan_signal: signal.Signals, folder: Path) -> Callable[[], None]:
    """The function between fork and exec: take the identity, then ask for a signal when the parent dies."""
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()
    nobody = pwd.getpwnam("nobody") if identity == "nobody" else None

    def prepare() -> None:  # pragma: no cover - runs between fork and exec
        if identity == "namespace":
            _enter_namespace(libc)
        elif nobody is not None:
            os.setgroups([])
            os.setgid(nobody.pw_gid)
            os.setuid(nobody.pw_uid)
        if identity != "self":
            os.chdir(folder)
        if sys.platform == "linux":
            # The change of identity clears the setting, so the setting comes after it.
            libc.prctl(_PR_SET_PDEATHSIG, int(orphan_signal), 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

    return prepare


def _enter_namespace(libc: ctypes.CDLL) -> None:  # pragma: no cover - runs between fork and exec
    if libc.unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare was refused")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{_INSIDE_ID} 0 1")
    Path("/proc/self/gid_map").write_text(f"{_INSIDE_ID} 0 1")


def owner_of(identity: Identity) -> tuple[int, int]:
    """The user and group id that own the files of a process with this identity, as seen from here."""
    if identity == "nobody":
        nobody = pwd.getpwnam("nobody")
        return nobody.pw_uid, nobody.pw_gid
    return os.geteuid(), os.getegid()
