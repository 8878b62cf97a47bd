"""Setting up: the Makefile's targets and what makes the environment."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from cluster import environment
from cluster.state.home import checkout


def make(*arguments: str) -> str:
    """What make says, run from another folder as with `make -C`."""
    done = subprocess.run(
        ["make", "--no-print-directory", "-C", str(checkout()), *arguments],
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_make_help_lists_every_target() -> None:
    """`make help` lists every target that scripts rely on, each with a description."""
    listed = dict(re.findall(r"^make (\S+) +(\S.*)$", make("help"), flags=re.MULTILINE))
    assert {"up", "down", "status", "scale", "restart", "migrate", "check", "test", "clean-data"} <= listed.keys()


@pytest.mark.parametrize("target", ["up", "down", "status", "scale", "restart", "migrate", "clean-data"])
def test_a_make_target_only_calls_the_seance_command(target: str) -> None:
    """A target about the cluster calls the command, and passes the environment on as it is."""
    assert make("-n", target).splitlines()[-1].endswith(f"exec .venv/bin/seance {target}")


@pytest.mark.parametrize("target", ["down", "status", "scale", "restart", "clean-data"])
def test_a_fresh_clone_installs_nothing_to_say_that_nothing_runs(target: str, tmp_path: Path) -> None:
    """Where no environment and no cluster's folder exist, a command on a cluster says so; cleaning finds nothing."""
    shutil.copy(checkout() / "Makefile", tmp_path)
    environ = {name: value for name, value in os.environ.items() if name != "SEANCE_HOME"}
    argv = ("make", "-C", str(tmp_path), target, "PYTHON=/nonexistent/python")
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == (0 if target == "clean-data" else 2)
    assert "nonexistent" not in done.stdout + done.stderr
    assert ("no cluster is running here; start one with `make up`" in done.stderr) == (target != "clean-data")


def test_a_cluster_without_its_environment_gets_one_to_be_stopped(tmp_path: Path) -> None:
    """Where a cluster's folder exists, the cluster may run, so the environment is made first."""
    shutil.copy(checkout() / "Makefile", tmp_path)
    (tmp_path / "home").mkdir()
    argv = ("make", "-n", "-C", str(tmp_path), "down", "SEANCE_HOME=home")
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert "cluster/environment.py cluster" in done.stdout


def test_an_interrupted_test_run_leaves_no_files_in_the_checkout() -> None:
    """Coverage writes a file per process: all of them into a folder that git ignores and the next run removes."""
    settings = tomllib.loads((checkout() / "pyproject.toml").read_text())["tool"]["coverage"]["run"]
    folder, _, _ = settings["data_file"].partition("/")
    ignored = subprocess.run(["git", "check-ignore", "-q", f"{folder}/x"], cwd=checkout(), check=False)
    assert (folder, ignored.returncode) == (".coverage", 0)
    assert "rm -rf .coverage .coverage.*" in make("-n", "test").splitlines()


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["dev", "cluster"]])
def test_an_unknown_kind_of_environment_shows_the_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a known kind, nothing is installed, and the usage is printed."""
    assert environment.main(arguments) == 2
    assert capsys.readouterr().out.startswith("usage: ")


def test_an_old_python_can_read_the_set_up_script() -> None:
    """The script keeps to the grammar of Python 3.7, so that an old Python gets as far as the message about its age."""
    source = (checkout() / "cluster" / "environment.py").read_text()
    assert ast.parse(source, feature_version=(3, 7)).body


def test_the_set_up_script_imports_only_the_standard_library() -> None:
    """The script imports no installed package, and nothing of this project."""
    source = (checkout() / "cluster" / "environment.py").read_text()
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    names |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


def test_settings_of_pip_for_other_installations_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told by a variable and by its file to install for the user or elsewhere, pip still installs into `.venv`."""
    configuration = tmp_path / "pip.conf"
    configuration.write_text("[global]\nuser = true\nrequire-hashes = true\nrequire-virtualenv = true\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(configuration))
    for variable, value in (("PIP_USER", "1"), ("PIP_TARGET", str(tmp_path)), ("PIP_PYTHON", "/nonexistent/python")):
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("PIP_INDEX_URL", "https://packages.invalid/simple")
    environ = environment.environ_for_pip()
    assert environ["PIP_INDEX_URL"] == "https://packages.invalid/simple"
    argv = (sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "pip")
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "already satisfied" in done.stdout


@pytest.mark.parametrize("kind", sorted(environment.STAMPS))
def test_every_pin_has_hashes_and_no_address(kind: str) -> None:
    """Every pinned package has its hashes, and no lock names an address to download from."""
    lock = (checkout() / "requirements" / f"{kind}.txt").read_text()
    pins = re.findall(r"^[A-Za-z0-9_.\[\]-]+==\S+", lock, flags=re.MULTILINE)
    assert len(pins) > 10
    assert len(re.findall(r"^[A-Za-z0-9_.\[\]-]+==.*\\\n +--hash=sha256:", lock, flags=re.MULTILINE)) == len(pins)
    assert "://" not in lock
