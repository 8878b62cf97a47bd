"""Settings: the source of each value, and the errors of wrong ones."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.configuration import SettingsError, load, misspelt
from gateway.settings import DEFAULT_SECRET, SECRETS, Settings

SECRET = "a-secret-of-the-tests-that-is-long-enough"
FIELDS = msgspec.structs.fields(Settings)


def problems(environ: dict[str, str], env_file: Path | None = None) -> list[str]:
    """The errors of this environment."""
    with pytest.raises(SettingsError) as caught:
        load(environ, env_file)
    assert str(caught.value).splitlines() == ["wrong configuration:", *(f"  {line}" for line in caught.value.problems)]
    return caught.value.problems


def test_every_unset_setting_has_its_default() -> None:
    """Without variables every setting has its default, and its source says so."""
    settings, sources = load({})
    assert settings == Settings()
    assert [source.variable for source in sources] == [field.name.upper() for field in FIELDS]
    assert {source.origin for source in sources} == {"default"}
    assert [source.value for source in sources] == [getattr(settings, field.name) for field in FIELDS]


def test_documented_defaults_are_unchanged() -> None:
    """These defaults are documented, and users rely on them."""
    settings = Settings()
    assert (settings.port, settings.gateways, settings.workers, settings.partitions) == (8000, 2, 1, 16)
    assert (settings.db_pool_size, settings.db_max_overflow, settings.resume_grace_seconds) == (20, 10, 15)
    assert (settings.max_frame_bytes, settings.max_buffer_bytes, settings.join_timeout_seconds) == (16_384, 262_144, 10)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_every_setting_has_a_description_and_a_valid_default(field: Any) -> None:
    """Every setting has a valid default, and a description for `.env.example` and `seance check`."""
    assert msgspec.convert(field.default, field.type) == field.default
    assert msgspec.inspect.type_info(field.type) is not None
    info = msgspec.inspect.multi_type_info([field.type])[0]
    assert isinstance(info, msgspec.inspect.Metadata)
    assert (info.extra_json_schema or {}).get("description", "").endswith(".")


def test_settings_are_frozen() -> None:
    """Settings can't be changed once they are made."""
    settings, _ = load({})
    with pytest.raises(AttributeError):
        settings.port = 1  # type: ignore[misc]


def test_the_environment_precedes_the_file_and_the_default(tmp_path: Path) -> None:
    """The environment comes before `.env`, `.env` before the default; an empty variable counts as not set."""
    env_file = tmp_path / ".env"
    env_file.write_text("PORT=1\nGATEWAYS=3\nWORKERS=4\nLOG_LEVEL=\nUNKNOWN=x\n# PARTITIONS=9\n")
    environ = {"PORT": "2", "GATEWAYS": "", "LOG_LEVEL": "", "ANOTHER": "x", "port": "5"}
    settings, sources = load(environ, env_file)
    assert (settings.port, settings.gateways, settings.workers, settings.partitions) == (2, 3, 4, 16)
    assert settings.log_level == "info"
    origins = {source.variable: source.origin for source in sources}
    assert [origins[name] for name in ("PORT", "GATEWAYS", "WORKERS", "LOG_LEVEL", "PARTITIONS")] == [
        "environment",
        ".env",
        ".env",
        "default",
        "default",
    ]
    assert {source.variable: source.value for source in sources}["PORT"] == 2


def test_a_missing_env_file_counts_as_empty(tmp_path: Path) -> None:
    """A `.env` that does not exist, or is a folder, counts as empty."""
    assert load({}, tmp_path / ".env") == load({}, tmp_path) == load({})


def test_the_env_file_is_not_interpolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values in `.env` are taken literally, without interpolation of other variables."""
    monkeypatch.setenv("HIDDEN", "expanded")
    env_file = tmp_path / ".env"
    env_file.write_text("JWT_SECRET=${HIDDEN}-0123456789-0123456789-0123456789\n")
    assert load({}, env_file)[0].jwt_secret == "${HIDDEN}-0123456789-0123456789-0123456789"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_env_file_may_be_in_any_encoding_that_it_names(tmp_path: Path, encoding: str) -> None:
    """UTF-8, and what a byte order mark names, as Windows writes it; the mark is no part of the first name."""
    env_file = tmp_path / ".env"
    env_file.write_text("PORT=8100\n# Séance\nGATEWAYS=3\n", encoding=encoding)
    settings, _ = load({}, env_file)
    assert (settings.port, settings.gateways) == (8100, 3)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("PORT=1\n# Séance\n".encode("latin-1"), "line 2: this is not UTF-8; save the file in the encoding UTF-8"),
        ("PORT=1\n".encode("utf-16-le"), "line 1: this is not UTF-8; save the file in the encoding UTF-8"),
        (b"WORKERS=1\nPORT: 8100\nGATEWAYS=2\n", "line 2: expected NAME=value, or a comment after #"),
    ],
)
def test_an_env_file_that_can_not_be_read_is_a_problem_with_its_line(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    """Another encoding, or a line without `=`, is a problem that names the file, the line and what to do."""
    env_file = tmp_path / ".env"
    env_file.write_bytes(content)
    assert problems({}, env_file) == [f"{env_file}, {problem}"]


def test_an_almost_right_name_gets_a_hint(tmp_path: Path) -> None:
    """A name in small letters or with a slip is told with the closest setting; any other name is nobody's business."""
    env_file = tmp_path / ".env"
    env_file.write_text("LOGLEVEL=debug\nport=8100\nPGPORT=5432\nPOSTGRES_PASSWORD=x\n")
    environ = {"DATABASE_URI": "x", "HOSTNAME": "box", "REDIS_PORT": "1", "WORKERS": "2", "WORKER": "3"}
    assert misspelt(environ, env_file) == [
        "DATABASE_URI (environment) is not a setting; did you mean DATABASE_URL?",
        "LOGLEVEL (.env) is not a setting; did you mean LOG_LEVEL?",
        "port (.env) is not a setting; did you mean PORT?",
    ]


def test_every_wrong_value_is_in_one_message(tmp_path: Path) -> None:
    """One message names every wrong value: variable, value, source and rule."""
    env_file = tmp_path / ".env"
    env_file.write_text("WORKERS=17\nLOG_FORMAT=xml\n")
    found = problems({"PORT": "http", "PARTITIONS": "0", "LOG_LEVEL": "INFO", "HOST": "127.0.0.1"}, env_file)
    assert found == [
        "PORT: 'http' (environment) must be a whole number",
        "WORKERS: '17' (.env) must be at most 16",
        "LOG_LEVEL: 'INFO' (environment) must be debug, info, warning or error",
        "LOG_FORMAT: 'xml' (.env) must be auto, json or console",
        "PARTITIONS: '0' (environment) must be at least 1",
    ]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ENVIRONMENT", "staging"),
        ("DATABASE_URL", "mysql://127.0.0.1/seance"),
        ("DATABASE_URL", "127.0.0.1:5432"),
        ("REDIS_URL", "127.0.0.1:6379"),
        ("REDIS_URL", "unix:///tmp/redis"),
        ("PORT", "-1"),
        ("PORT", "65536"),
        ("PORT", "80.5"),
        ("GATEWAYS", "0"),
        ("GATEWAYS", "65"),
        ("JWT_SECRET", "x" * 31),
        ("JWT_EXPIRES_SECONDS", "59"),
        ("PARTITIONS", "1025"),
        ("MAX_BACKLOG", "0"),
        ("LOG_EVENTS", "15"),
        ("RESUME_GRACE_SECONDS", "-1"),
        ("DB_POOL_SIZE", "0"),
        ("DB_MAX_OVERFLOW", "-1"),
        ("REDIS_TIMEOUT_SECONDS", "0"),
        ("WORKER_BATCH_ENTRIES", "0"),
        ("HEARTBEAT_SECONDS", "301"),
        ("MAX_FRAME_BYTES", "1023"),
        ("MAX_BODY_BYTES", "many"),
        ("SHUTDOWN_TIMEOUT_SECONDS", "0"),
    ],
)
def test_a_value_beyond_its_bounds_is_refused(variable: str, value: str) -> None:
    """A value beyond its bounds is refused, with the name of its variable."""
    (problem,) = problems({variable: value})
    assert problem.startswith(f"{variable}: ")
    assert re.search(r"\(environment\) (must|is not a URL) ", problem)


@pytest.mark.parametrize("value", ["a{b}", "a b", "seance:", ":seance", "seance*", "a@1", "séance", "-", "x" * 65])
def test_a_prefix_that_would_break_key_names_is_refused(value: str) -> None:
    """Braces, spaces, patterns and a colon at the end are refused; the message says what a prefix is made of."""
    (problem,) = problems({"REDIS_PREFIX": value})
    assert problem.startswith(f"REDIS_PREFIX: {value!r} is wrong: write 1 to 64 letters, digits, ")


@pytest.mark.parametrize("value", ["s", "seance-staging", "team:seance.2", "x" * 64])
def test_the_prefix_is_before_every_key(value: str) -> None:
    """A prefix of letters, digits, dots, colons, hyphens and underscores is taken as it is."""
    settings, _ = load({"REDIS_PREFIX": value})
    assert settings.keys.session(3, "s") == f"{value}:{{3}}:session:s"


@pytest.mark.parametrize("url", ["redis://127.0.0.1:6379/2", "rediss://127.0.0.1?db=2"])
def test_the_number_of_the_database_is_in_every_key(url: str) -> None:
    """Channels belong to the whole Redis: outside of database 0 the names carry its number."""
    assert load({"REDIS_URL": url})[0].keys.session(3, "s") == "seance@2:{3}:session:s"
    assert load({"REDIS_URL": url[:-1] + "0"})[0].keys.session(3, "s") == "seance:{3}:session:s"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("JWT_SECRET", "hunter2"),
        ("DATABASE_URL", "mysql://ana:hunter2@127.0.0.1/seance"),
        ("REDIS_URL", "http://:hunter2@127.0.0.1:6379/0"),
    ],
)
def test_wrong_secrets_are_not_in_the_message(variable: str, value: str) -> None:
    """A wrong secret, or a wrong URL with a password, is not in the message."""
    (problem,) = problems({variable: value})
    assert problem.startswith(f"{variable}: the value (environment) must ")
    assert "hunter2" not in problem


def test_the_jwt_secret_is_marked_secret() -> None:
    """The signing secret is marked, so that tools that show settings can hide it."""
    assert {"jwt_secret", "jwt_secrets_old"} == SECRETS
    assert {field.name for field in FIELDS} >= SECRETS


def test_production_needs_a_secret_of_its_own(tmp_path: Path) -> None:
    """In production the default secret is refused, from whatever source; elsewhere it is accepted."""
    (problem,) = problems({"ENVIRONMENT": "production"})
    assert problem.startswith("JWT_SECRET: the default is public")
    assert problems({"ENVIRONMENT": "production", "JWT_SECRET": DEFAULT_SECRET}) == [problem]
    env_file = tmp_path / ".env"
    env_file.write_text("ENVIRONMENT=production\n")
    assert len(problems({"PORT": "x"}, env_file)) == 2
    assert load({"ENVIRONMENT": "production", "JWT_SECRET": SECRET})[0].jwt_secret == SECRET
    assert load({"ENVIRONMENT": "test"})[0].jwt_secret == DEFAULT_SECRET


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "gateway.example"])  # noqa: S104 - only values
def test_other_machines_need_a_secret_of_its_own(host: str) -> None:
    """Off loopback the default secret is refused in every environment, and the message says what to do."""
    (problem,) = problems({"HOST": host})
    assert problem == (
        f"JWT_SECRET: the default is public, and HOST={host} lets other machines in; only loopback addresses may have "
        "it; set JWT_SECRET, in `.env` or the environment, to the output of `openssl rand -hex 32`"
    )
    assert load({"HOST": host, "JWT_SECRET": SECRET})[0].host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_the_default_secret_is_good_on_loopback(host: str) -> None:
    """A developer needs no secret."""
    assert load({"HOST": host})[0].jwt_secret == DEFAULT_SECRET


def test_production_needs_a_secret_with_entropy() -> None:
    """Repeated characters are refused in production only; the same goes for old secrets, which still admit."""
    (problem,) = problems({"ENVIRONMENT": "production", "JWT_SECRET": "a" * 32})
    assert problem.startswith("JWT_SECRET: about 0 bits of entropy, and production needs 128: repetitions count once")
    assert "aaa" not in problem
    assert load({"JWT_SECRET": "a" * 32})[0].jwt_secret == "a" * 32
    good = {"ENVIRONMENT": "production", "JWT_SECRET": SECRET}
    old = problems({**good, "JWT_SECRETS_OLD": f"{SECRET[::-1]}, {DEFAULT_SECRET}, {'ab' * 16}"})
    assert [problem.split(":")[0] for problem in old] == ["JWT_SECRETS_OLD"] * 2
    assert all(problem.endswith("; remove that one") for problem in old)


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("*", ("*",)),
        ("http://a.example", ("http://a.example",)),
        (" http://a.example/ , https://b.example:8443 ,", ("http://a.example", "https://b.example:8443")),
        (",", ()),
    ],
)
def test_origins_are_split_at_commas(text: str, origins: tuple[str, ...]) -> None:
    """Origins are split at commas, without blanks and trailing slashes."""
    assert load({"CORS_ORIGINS": text})[0].origins == origins


@pytest.mark.parametrize(
    ("environment", "log_format", "is_json"),
    [
        ("development", "auto", False),
        ("test", "auto", False),
        ("production", "auto", True),
        ("development", "json", True),
        ("production", "console", False),
    ],
)
def test_production_logs_json_by_default(environment: str, log_format: str, is_json: bool) -> None:
    """Logs are JSON in production, unless the format is set."""
    environ = {"ENVIRONMENT": environment, "LOG_FORMAT": log_format, "JWT_SECRET": SECRET}
    assert load(environ)[0].logs_json == is_json


@pytest.mark.parametrize(
    ("text", "proxies"),
    [
        ("127.0.0.1", ("127.0.0.1/32",)),
        ("10.0.0.9/8, 2001:db8::/32,", ("10.0.0.0/8", "2001:db8::/32")),
        ("*", ("*",)),
        ("balancer, 10.0.0.1", ("10.0.0.1/32",)),
    ],
)
def test_proxies_are_networks(text: str, proxies: tuple[str, ...]) -> None:
    """TRUSTED_PROXIES holds networks of both families; an address is a network of one, a name none."""
    assert load({"TRUSTED_PROXIES": text})[0].proxies == proxies


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, True),
        ({"HOST": "::1"}, True),
        ({"HOST": "localhost"}, True),
        ({"HOST": "0.0.0.0"}, False),  # noqa: S104 - only a value here
        ({"HOST": "chat.example"}, False),
        ({"ENVIRONMENT": "test"}, False),
    ],
)
def test_only_a_developers_gateway_serves_this_machine_alone(environ: dict[str, str], *, expected: bool) -> None:
    """Loopback behind a proxy of production serves the world."""
    assert load({"JWT_SECRET": SECRET, **environ})[0].serves_only_this_machine is expected


def test_the_operators_port_is_another_port() -> None:
    """Two servers can't share a port."""
    with pytest.raises(SettingsError, match="ADMIN_PORT: 8000 is PORT too"):
        load({"ADMIN_PORT": "8000"})
    assert load({"ADMIN_PORT": "8001"})[0].admin_port == 8001


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({"JWKS_URL": "https://id.example/keys"}, "JWT_AUDIENCE: JWKS_URL needs it"),
        ({"JWKS_URL": "ftp://id.example/keys", "JWT_AUDIENCE": "seance"}, "JWKS_URL: "),
        ({"JWKS_FILE": "/nonexistent/keys.json"}, "JWKS_FILE: there is no file '/nonexistent/keys.json'"),
        (
            {"JWKS_URL": "https://id.example/keys", "JWT_AUDIENCE": "seance", "JWKS_FILE": __file__},
            "JWKS_FILE: the keys can't come from JWKS_URL too",
        ),
        ({"JWT_SECRETS_OLD": f"{SECRET},short"}, "JWT_SECRETS_OLD: every secret has at least 32 characters"),
        ({"AUTH_MODE": "closed"}, "AUTH_MODE: 'closed'"),
    ],
)
def test_keys_that_can_not_be_used_are_told(environ: dict[str, str], problem: str) -> None:
    """Each wrong setting of keys is told with what to do, and no secret is shown."""
    [told] = problems(environ)
    assert told.startswith(problem)
    assert SECRET not in told


@pytest.mark.parametrize(
    ("environ", "needs_tokens"),
    [
        ({}, False),
        ({"ENVIRONMENT": "production", "JWT_SECRET": SECRET}, True),
        ({"ENVIRONMENT": "production", "JWT_SECRET": SECRET, "AUTH_MODE": "open"}, False),
        ({"AUTH_MODE": "token"}, True),
    ],
)
def test_production_needs_tokens_by_default(environ: dict[str, str], *, needs_tokens: bool) -> None:
    """AUTH_MODE is `token` in production and `open` elsewhere, unless it is set."""
    assert load(environ)[0].needs_tokens is needs_tokens


def test_former_secrets_are_split_at_commas() -> None:
    """Spaces around a former secret do not count."""
    assert load({"JWT_SECRETS_OLD": f" {SECRET} , {SECRET}x,"})[0].old_secrets == (SECRET, f"{SECRET}x")
