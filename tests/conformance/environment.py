"""The environment of the Autobahn suite, which needs Python 2.7: found, made once, made anew when the pins change."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PINS = ROOT / "requirements" / "conformance.txt"
INSTALL_SECONDS = 900.0


class NoPythonError(Exception):
    """There is no Python 2.7 on this machine; the message says where it was looked for."""


def find_python() -> Path:
    """A Python 2.7 that works: `PYTHON27`, `python2.7` on the PATH, or one that pyenv has. Raises NoPythonError."""
    named = os.environ.get("PYTHON27")
    candidates = [named] if named else [shutil.which("python2.7"), *_pyenvs()]
    for candidate in candidates:
        # pyenv puts a command on the PATH that fails where its version is not switched on.
        if (
            candidate is not None
            and _says([candidate, "-c", "import sys; print(sys.version_info[:2] == (2, 7))"]) == "True"
        ):
            return Path(candidate)
    raise NoPythonError("the Autobahn suite needs Python 2.7: neither PYTHON27 nor the PATH nor pyenv has one")


def make(folder: Path, python: Path) -> Path:
    """The path of `wstest` in an environment below `folder` that holds what requirements/conformance.txt pins.

    Raises subprocess.CalledProcessError when an install fails; pip has said why.
    """
    stamp = folder / "stamp"
    wstest = folder / "python2.7" / "bin" / "wstest"
    wanted = hashlib.sha256(PINS.read_bytes()).hexdigest()
    if wstest.exists() and stamp.exists() and stamp.read_text(encoding="ascii") == wanted:
        return wstest
    shutil.rmtree(folder, ignore_errors=True)
    tools = folder / "virtualenv"
    _say("conformance: installing virtualenv")
    _run([sys.executable, "-m", "pip", *_LOCKED, "--target", str(tools)])
    _say(f"conformance: making an environment of {python}")
    # The rest of our environment must not shine through to virtualenv, nor virtualenv to Python 2.7.
    made = [sys.executable, "-m", "virtualenv", "--quiet", "--python", str(python), str(folder / "python2.7")]
    _run(made, PYTHONPATH=str(tools))
    _say("conformance: installing the Autobahn suite (about a minute)")
    _run(
        [str(folder / "python2.7" / "bin" / "python"), "-W", "ignore", "-m", "pip", *_LOCKED],
        PIP_NO_PYTHON_VERSION_WARNING="1",
    )
    stamp.write_text(wanted, encoding="ascii")
    return wstest


_LOCKED = ("install", "--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps", "-r", str(PINS))


def _pyenvs() -> list[str]:
    versions = _says(["pyenv", "versions", "--bare"]).split()
    prefixes = [_says(["pyenv", "prefix", version]) for version in versions if version.startswith("2.7")]
    return [str(Path(prefix) / "bin" / "python2.7") for prefix in prefixes if prefix]


def _says(command: list[str]) -> str:
    """What a command prints, or nothing when it fails or does not exist."""
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _run(command: list[str], **environment: str) -> None:
    subprocess.run(command, check=True, timeout=INSTALL_SECONDS, env={**os.environ, **environment})


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
