"""Makes the environment `.venv` from the locked requirements: `python3 cluster/environment.py cluster|dev|bench|audit`.

Runs before anything is installed, so it imports only the standard library, and a message says what is missing.
"""
# ruff: noqa: UP006, UP035 - an old Python must be able to parse this file, to print that it is too old

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, List

OLDEST = (3, 11)
NEWER = ("python3.14", "python3.13", "python3.12", "python3.11")
ANOTHER = "Another one is named like this: `make PYTHON=python3.12 up`"
ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
# What a person may have told pip for other installations: where to, for which Python, and what. The variables that say
# where packages come from (index, proxy, certificates, cache) are kept.
_WHERE = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON")
_FOR_WHAT = ("PIP_PYTHON_VERSION", "PIP_PLATFORM", "PIP_ABI", "PIP_IMPLEMENTATION")
_WHAT = ("PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT", "PIP_REQUIREMENT", "PIP_EDITABLE", "PIP_NO_BINARY", "PIP_PRE")
_HOW = ("PIP_REQUIRE_HASHES", "PIP_REQUIRE_VIRTUALENV", "PIP_DRY_RUN", "PIP_IGNORE_INSTALLED")
NOT_FOR_US = frozenset(_WHERE + _FOR_WHAT + _WHAT + _HOW)
# The same in `pip.conf`, for switches: a variable goes before the file.
OFF = {"PIP_USER": "0", "PIP_REQUIRE_HASHES": "0", "PIP_DRY_RUN": "0", "PIP_REQUIRE_VIRTUALENV": "0"}
# The stamp files of each kind; `dev` and `bench` contain everything of `cluster`, and `audit` comes on top of `dev`.
STAMPS = {"cluster": ("cluster",), "dev": ("cluster", "dev"), "bench": ("cluster", "bench"), "audit": ("audit",)}


class SetupError(Exception):
    """The environment can't be made; the message says what to do."""


def main(arguments: List[str]) -> int:
    """Make or complete the environment; return the exit code."""
    if len(arguments) != 1 or arguments[0] not in STAMPS:
        say("usage: environment.py cluster|dev|bench|audit")
        return 2
    if sys.version_info[:2] < OLDEST:
        return _run_newer(arguments)
    try:
        make(arguments[0])
    except SetupError as error:
        say(f"error: {error}")
        return 1
    return 0


def make(kind: str) -> None:
    """Install what `requirements/<kind>.txt` pins and then the project itself, and leave the stamps."""
    pip = _pip()
    say(f"environment: installing what requirements/{kind}.txt pins")
    locked = ("--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", f"requirements/{kind}.txt")
    _call(pip, "install", "--quiet", *locked)
    say("environment: installing the project")
    _call(pip, "install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", ".")
    for stamp in STAMPS[kind]:
        (VENV / f".{stamp}").touch()


def _pip() -> List[str]:
    """The pip command that installs into the environment; makes the environment when it is missing or broken."""
    python = VENV / "bin" / "python"
    inside = [str(python), "-m", "pip"]
    if _works([*inside, "--version"]):
        return inside
    say(f"environment: making {VENV} with Python {sys.version.split()[0]}")
    shutil.rmtree(VENV, ignore_errors=True)
    if _works([sys.executable, "-m", "venv", str(VENV)]) and _works([*inside, "--version"]):
        return inside
    # Debian keeps `ensurepip` in a package of its own.
    shutil.rmtree(VENV, ignore_errors=True)
    if importlib.util.find_spec("virtualenv") and _works([sys.executable, "-m", "virtualenv", str(VENV)]):
        return inside
    shutil.rmtree(VENV, ignore_errors=True)
    outside = [sys.executable, "-m", "pip", "--python", str(python)]
    if _works([sys.executable, "-m", "venv", "--without-pip", str(VENV)]) and _works([*outside, "--version"]):
        return outside
    shutil.rmtree(VENV, ignore_errors=True)
    raise SetupError(
        f"{sys.executable} can make no environment: neither `venv` with `ensurepip`, nor `virtualenv`, nor `pip`\n"
        f"works. Install one of them (Debian and Ubuntu: `apt install python3-venv`). {ANOTHER}"
    )


def _call(command: List[str], *arguments: str) -> None:
    done = subprocess.run([*command, *arguments], cwd=ROOT, env=environ_for_pip(), check=False)  # noqa: S603 - our own
    if done.returncode != 0:
        raise SetupError(f"`{' '.join(('pip', *arguments[:1]))}` failed; its words are above")


def environ_for_pip() -> Dict[str, str]:
    """The environment without what would lead an installation away from `.venv`."""
    return {**{name: value for name, value in os.environ.items() if name not in NOT_FOR_US}, **OFF}


def _works(command: List[str]) -> bool:
    try:
        done = subprocess.run(command, env=environ_for_pip(), check=False, capture_output=True)  # noqa: S603 - our own
    except OSError:
        return False
    return done.returncode == 0


def _run_newer(arguments: List[str]) -> int:
    """Run this file again with a newer Python from the PATH, if there is one."""
    for name in NEWER:
        found = shutil.which(name)
        if found is not None and _works([found, "--version"]):
            return subprocess.run([found, __file__, *arguments], check=False).returncode  # noqa: S603 - our own command
    have = ".".join(str(part) for part in sys.version_info[:3])
    need = ".".join(str(part) for part in OLDEST)
    say(f"error: {sys.executable} is Python {have}, and {need} or newer is needed. {ANOTHER}")
    return 1


def say(text: str) -> None:
    """Print a line of progress at once."""
    print(text, flush=True)  # noqa: T201 - the output of the command


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
