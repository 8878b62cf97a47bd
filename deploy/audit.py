# ruff: noqa: INP001 - a script, called by `make audit`
"""Asks the database OSV for known faults of every pinned package, with pip-audit; without a network it says so.

Exit code 0: no known fault, or the database can't be reached. 1: there are faults, or the audit itself failed.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

# The lock that contains those of the image and of the local cluster.
_LOCK = Path("requirements") / "dev.txt"
# For one question to the database; a machine without a network must not wait long.
_ANSWER_SECONDS = 5
_AUDIT_SECONDS = 300
# What pip-audit's HTTP library raises when there is no network, no name, or no answer.
_UNREACHABLE = ("requests.exceptions.", "pip_audit._service.interface.ConnectionError")


def main() -> int:
    """Audit, say what was found, and return the exit code."""
    command = [
        *(sys.executable, "-m", "pip_audit", "--requirement", str(_LOCK), "--disable-pip", "--require-hashes"),
        *("--vulnerability-service", "osv", "--timeout", str(_ANSWER_SECONDS)),
        *("--format", "json", "--progress-spinner", "off"),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_AUDIT_SECONDS)  # noqa: S603 - our own
    except subprocess.TimeoutExpired:
        return _say(0, f"audit: not run: the database did not answer all questions within {_AUDIT_SECONDS} s")
    return judged(done.stdout, done.stderr)


def judged(output: str, errors: str) -> int:
    """The exit code for what pip-audit wrote, once it is printed."""
    try:
        packages: list[dict[str, Any]] = json.loads(output)["dependencies"]
    except ValueError:
        if any(sign in errors for sign in _UNREACHABLE):
            return _say(0, "audit: not run: no database reachable")
        return _say(1, f"audit: failed\n{errors.strip()}")
    faults = [(one, fault) for one in packages for fault in one.get("vulns", ())]
    for one, fault in faults:
        mended = ", ".join(fault["fix_versions"]) or "no version yet"
        _say(1, f"audit: {one['name']} {one['version']}: {fault['id']}, mended in {mended}")
    skipped = [one["name"] for one in packages if "skip_reason" in one]
    if skipped:
        return _say(1, f"audit: the database does not know {', '.join(skipped)}")
    return 1 if faults else _say(0, f"audit: no known fault in the {len(packages)} packages that are pinned")


def _say(code: int, text: str) -> int:
    print(text, flush=True)  # noqa: T201 - the output of the command
    return code


if __name__ == "__main__":
    sys.exit(main())
