"""Which Chromium the tests use, and what happens where there is none."""

import os
import shutil
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
WITHOUT = "no Chromium on this machine: the tests of tests/browser are left out (Debian: `apt-get install chromium`)"


def path() -> str | None:
    """Chromium's command, or None."""
    commands = ("chromium-headless-shell", "chromium", "chromium-browser")  # the first has no window system to start
    return next(filter(None, map(shutil.which, commands)), None)


def is_required() -> bool:
    """Whether it is a failure when there is none, as in `.ci/run`."""
    return os.environ.get("SEANCE_REQUIRE_BROWSER", "") not in {"", "0"}


def is_asked_for(config: pytest.Config) -> bool:
    """Whether this run of pytest would come to the browser tests at all."""
    asked = [(config.invocation_params.dir / argument.partition("::")[0]).resolve() for argument in config.args]
    return any(FOLDER.is_relative_to(one) or one.is_relative_to(FOLDER) for one in asked)


def leave_out(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the browser tests where there is no Chromium. Raises UsageError when it is required."""
    left_out = [item for item in items if item.path.is_relative_to(FOLDER)]
    if path() is not None or not left_out:
        return
    if is_required():
        raise pytest.UsageError(f"SEANCE_REQUIRE_BROWSER is set, but there is {WITHOUT}")
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]
