"""The `seance` command: help, usage errors and exit codes that need no cluster."""

import json
import uuid
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cluster.cli import main
from gateway.access.tokens import Tokens
from gateway.settings import DEFAULT_SECRET


@pytest.fixture
def home(tmp_path: Path) -> str:
    return str(tmp_path / "home")


def invoke(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(main, list(arguments), env=environment, prog_name="seance")


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_explains_itself_with_help(command: str) -> None:
    """`--help` says what a command does, and succeeds."""
    result = invoke(command, "--help")
    assert result.exit_code == 0
    assert f"Usage: seance {command}" in result.output
    assert len(result.output.splitlines()) > 4


def test_every_command_that_scripts_rely_on_exists() -> None:
    """The commands of the contract with scripts are all there."""
    wanted = {"up", "down", "status", "scale", "restart", "gateway", "worker", "migrate", "token", "check", "dead"}
    assert wanted <= set(main.commands)


def test_status_without_a_cluster_is_exit_code_3(home: str) -> None:
    """Without a running cluster, `status` exits with 3, and the JSON has no URL."""
    result = invoke("status", "--json", "--home", home)
    assert result.exit_code == 3
    assert json.loads(result.stdout) == {
        "url": None,
        "redis_url": None,
        "database_url": None,
        "gateways": [],
        "workers": [],
        "services": [],
    }
    assert "no cluster is running" in result.stderr


@pytest.mark.parametrize("arguments", [("down",), ("status",), ("restart",), ("scale", "--gateways", "3")])
def test_a_command_for_a_running_cluster_fails_without_one(home: str, arguments: tuple[str, ...]) -> None:
    """A command that needs a running cluster exits with 3 when none runs."""
    assert invoke(*arguments, "--home", home).exit_code == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ("nothing",),
        ("scale",),
        ("scale", "--gateways", "0"),
        ("scale", "--gateways", "65"),
        ("up", "--workers", "x"),
        ("token",),
        ("token", "--scope", "host"),
        ("token", "--scope", "user", "--session", str(uuid.uuid4())),
        ("token", "--scope", "host", "--session", "no-uuid"),
        ("migrate", "--to", "head", "--down", "base"),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: tuple[str, ...]) -> None:
    """Wrong usage is exit code 2, and the message says what is wrong."""
    result = invoke(*arguments, GATEWAYS="", WORKERS="")
    assert result.exit_code == 2
    assert "Error: " in result.stderr


@pytest.mark.parametrize("command", ["up", "check", "gateway", "worker", "migrate"])
def test_wrong_settings_are_all_named_in_one_message(home: str, command: str) -> None:
    """Wrong settings are exit code 2; the message names each of them, and not the value of the secret."""
    result = invoke(command, PORT="x", PARTITIONS="0", JWT_SECRET="short", SEANCE_HOME=home)
    assert result.exit_code == 2
    for name in ("PORT", "PARTITIONS", "JWT_SECRET"):
        assert name in result.stderr
    assert "short" not in result.stderr


def test_a_misspelt_variable_is_told_with_the_closest_setting() -> None:
    """Every command that reads the settings says which variable has no effect, and goes on."""
    result = invoke("token", "--scope", "publish", JWT_EXPIRE_SECONDS="60")
    assert result.exit_code == 0
    assert "JWT_EXPIRE_SECONDS (environment) is not a setting; did you mean JWT_EXPIRES_SECONDS?" in result.stderr


def test_scale_takes_the_number_of_gateways_from_the_environment(home: str) -> None:
    """`make scale GATEWAYS=5` needs no option."""
    assert invoke("scale", "--home", home, GATEWAYS="5").exit_code == 3


@pytest.mark.parametrize(
    ("arguments", "scope"),
    [
        (("--scope", "user", "--session", "9d1f4e0e-8f0c-4a43-9c5b-0d8e3b8a6d11", "--name", "Ana"), "user"),
        (("--scope", "host", "--session", "9d1f4e0e-8f0c-4a43-9c5b-0d8e3b8a6d11"), "host"),
        (("--scope", "publish", "--session", "9d1f4e0e-8f0c-4a43-9c5b-0d8e3b8a6d11"), "publish"),
        (("--scope", "publish", "--expires", "60"), "publish"),
        (("--scope", "sessions:create", "--sub", "shop"), "sessions:create"),
        (("--scope", "sessions:join", "--name", "Ana"), "sessions:join"),
        (
            (
                "--scope",
                "sessions:join",
                "--session",
                "9d1f4e0e-8f0c-4a43-9c5b-0d8e3b8a6d11",
                "--name",
                "Ana",
                "--sub",
                "7",
            ),
            "sessions:join",
        ),
        (("--scope", "spirit"), "spirit"),
        (("--scope", "admin", "--expires", "60"), "admin"),
    ],
)
async def test_a_gateway_accepts_the_token_that_the_command_prints(arguments: tuple[str, ...], scope: str) -> None:
    """A gateway with the same secret verifies the token that `seance token` prints."""
    result = invoke("token", *arguments)
    assert result.exit_code == 0
    claims = await Tokens(DEFAULT_SECRET, 60).verify_token(result.output.strip())
    assert scope == claims.scope
    expected = None if "--session" not in arguments else "9d1f4e0e-8f0c-4a43-9c5b-0d8e3b8a6d11"
    assert expected == claims.session_id
    assert claims.token_id


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--scope", "user", "--name", "Ana"), "scope `user` needs --session"),
        (("--scope", "user"), "scope `user` needs --session and --name"),
        (("--scope", "host"), "scope `host` needs --session"),
        (("--scope", "sessions:join"), "scope `sessions:join` needs --name"),
        (("--scope", "sessions:create", "--name", "Ana"), "scope `sessions:create` takes no --name"),
        (
            ("--scope", "admin", "--session", "9d1f4e0e-8f0c-4a43-9c5b-0d8e3b8a6d11", "--name", "Ana"),
            "scope `admin` takes no --session and no --name",
        ),
        (
            ("--scope", "user", "--session", "9d1f4e0e-8f0c-4a43-9c5b-0d8e3b8a6d11", "--name", "Ana", "--sub", "7"),
            "must be a UUID",
        ),
        (("--scope", "root"), "'root' is not one of 'sessions:create'"),
        ((), "Missing option '--scope'"),
    ],
)
def test_a_token_without_what_its_scope_needs_is_not_minted(arguments: tuple[str, ...], problem: str) -> None:
    """The error names the scope and the option."""
    result = invoke("token", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert problem in result.stderr


def test_clean_data_removes_the_home_and_can_be_repeated(home: str) -> None:
    """`clean-data` removes the home, and succeeds again when there is nothing to remove."""
    (Path(home) / "data").mkdir(parents=True)
    assert invoke("clean-data", "--home", home).exit_code == 0
    assert not Path(home).exists()
    assert invoke("clean-data", "--home", home).exit_code == 0
