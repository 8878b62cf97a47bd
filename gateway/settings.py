"""Frozen settings, built once from the environment and `.env`; nothing else reads the environment."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from broker.keys import Keys
from broker.secrecy import concealed
from gateway import env_file as env_files
from gateway.violations import choices_of, in_words
from persistence.address import AddressError, parse

# No braces, which would be the hash tag instead of the partition's; nothing that a pattern of an ACL reads; and no "@",
# behind which the number of the database follows.
_PREFIX = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._:-]{0,62}[A-Za-z0-9])?")

DEFAULT_SECRET = "seance-development-secret-do-not-use-in-production"  # noqa: S105 - refused in production

Port = Annotated[int, Meta(ge=0, le=65535)]
Positive = Annotated[int, Meta(ge=1)]
NotNegative = Annotated[int, Meta(ge=0)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting of a gateway, a worker and the tools; the variable is the field's name in capitals."""

    environment: Annotated[
        Literal["development", "test", "production"],
        Meta(description="Production refuses the default JWT_SECRET and logs JSON."),
    ] = "development"
    database_url: Annotated[
        str,
        Meta(description="PostgreSQL, as the host hands it out. When set, `seance up` starts none."),
    ] = "postgresql://postgres@127.0.0.1:5432/seance"
    database_schema: Annotated[
        str,
        Meta(
            pattern=r"^([a-z_][a-z0-9_]{0,62})?$",
            description="Schema of the tables, in small letters; empty: where the role's search path leads.",
        ),
    ] = ""
    database_pooler: Annotated[
        Literal["auto", "session", "transaction"],
        Meta(description="The mode of a pooler such as PgBouncer in front of PostgreSQL; `auto` finds out."),
    ] = "auto"
    redis_url: Annotated[
        str,
        Meta(pattern=r"^rediss?://", description="Redis or Valkey. When set, `seance up` starts none."),
    ] = "redis://127.0.0.1:6379/0"
    redis_prefix: Annotated[
        str,
        Meta(description="Before every Redis key and channel; installations that share a Redis need different ones."),
    ] = "seance"

    host: Annotated[
        str, Meta(min_length=1, description="Address to listen on; `0.0.0.0`: every IPv4 address, `::`: every address.")
    ] = "127.0.0.1"
    port: Annotated[
        Port, Meta(description="Port that clients connect to: the balancer's in a cluster, else the gateway's own.")
    ] = 8000
    root_path: Annotated[
        str,
        Meta(
            pattern=r"^/([^/?#\s]+/?)*$",
            description="Path below which clients see the gateways, such as `/realtime`; the proxy removes that path.",
            examples=["/realtime"],
        ),
    ] = "/"
    gateways: Annotated[int, Meta(ge=1, le=64, description="Gateway replicas that `seance up` starts.")] = 2
    workers: Annotated[int, Meta(ge=1, le=16, description="Persistence workers that `seance up` starts.")] = 1
    forwarded_allow_ips: Annotated[
        str, Meta(description="Proxies with a trusted X-Forwarded-For, comma-separated; `*` for all.")
    ] = "127.0.0.1"

    jwt_secret: Annotated[
        str, Meta(min_length=32, description="Signs tokens (HS256); the same on every replica, at least 32 bytes.")
    ] = DEFAULT_SECRET
    jwt_expires_seconds: Annotated[
        int, Meta(ge=60, le=31_536_000, description="How long host tokens and user tokens are valid.")
    ] = 86_400
    cors_origins: Annotated[
        str, Meta(description="Origins from which browsers may connect, comma-separated; `*` for all.")
    ] = "*"

    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least severe level that is logged.")
    ] = "info"
    log_format: Annotated[
        Literal["auto", "json", "console"],
        Meta(description="`auto`: JSON in production, coloured lines elsewhere."),
    ] = "auto"

    partitions: Annotated[
        int, Meta(ge=1, le=1024, description="Partitions of the Redis keys; fixed once there is data.")
    ] = 16
    max_backlog: Annotated[
        Positive,
        Meta(
            description="Entries of a partition that may wait for Postgres before messages and new users are refused."
        ),
    ] = 100_000
    log_events: Annotated[
        int, Meta(ge=16, le=100_000, description="Recent events a session keeps in Redis for resuming clients.")
    ] = 512
    session_idle_seconds: Annotated[
        int, Meta(ge=60, description="How long an empty session's hot state stays in Redis.")
    ] = 86_400
    resume_grace_seconds: Annotated[
        int, Meta(ge=0, le=3600, description="How long a seat is kept for a connection that was lost.")
    ] = 15
    db_pool_size: Annotated[Positive, Meta(description="Postgres connections a process keeps open.")] = 20
    db_max_overflow: Annotated[
        NotNegative, Meta(description="Postgres connections that a process may open beyond DB_POOL_SIZE.")
    ] = 10
    db_timeout_seconds: Annotated[
        int, Meta(ge=1, le=120, description="Longest wait for a Postgres connection or a query.")
    ] = 5
    redis_timeout_seconds: Annotated[
        int, Meta(ge=1, le=120, description="Longest wait for Redis to accept a connection or answer a command.")
    ] = 5

    worker_batch_entries: Annotated[
        int, Meta(ge=1, le=10_000, description="Entries that a worker writes in one transaction, at most.")
    ] = 1000
    worker_batch_milliseconds: Annotated[
        int, Meta(ge=0, le=5000, description="How long a worker waits for a batch to fill.")
    ] = 50

    worker_metrics_port: Annotated[
        Port, Meta(description="Port on which a worker answers `/metrics`, on the address HOST; 0: none.")
    ] = 0

    commit_timeout_seconds: Annotated[
        int, Meta(ge=1, le=300, description="Longest a REST publish with `ack=persisted` waits for Postgres.")
    ] = 10

    join_timeout_seconds: Annotated[
        int, Meta(ge=1, le=300, description="How long a new connection may take to send `join`.")
    ] = 10
    heartbeat_seconds: Annotated[
        int, Meta(ge=1, le=300, description="Interval of WebSocket pings on idle connections.")
    ] = 25
    max_frame_bytes: Annotated[int, Meta(ge=1024, le=1_048_576, description="Largest inbound WebSocket message.")] = (
        16_384
    )
    max_body_bytes: Annotated[int, Meta(ge=1024, le=16_777_216, description="Largest REST request body.")] = 65_536
    max_buffer_bytes: Annotated[
        int, Meta(ge=16_384, le=16_777_216, description="Unsent bytes from which on a client is a slow consumer.")
    ] = 262_144
    slow_consumer_seconds: Annotated[
        int, Meta(ge=1, le=300, description="How long a client may take to read a full buffer.")
    ] = 10
    max_malformed_frames: Annotated[
        Positive, Meta(description="Consecutive malformed frames that are allowed; one more closes the connection.")
    ] = 30
    max_connections: Annotated[
        NotNegative, Meta(description="Sockets one gateway holds; 0: as many as open files allow.")
    ] = 0
    max_connections_per_address: Annotated[
        NotNegative, Meta(description="Sockets from one client address on one gateway; 0: no limit.")
    ] = 0
    max_loop_lag_milliseconds: Annotated[
        NotNegative, Meta(description="A gateway whose event loop was this late is unready for 5 s; 0: no limit.")
    ] = 1000
    drain_wait_seconds: Annotated[
        int,
        Meta(ge=0, le=60, description="How long a draining gateway is unready before it sends clients away."),
    ] = 1
    drain_window_seconds: Annotated[
        int, Meta(ge=0, le=300, description="How long a drain spreads the disconnects of the clients.")
    ] = 10
    shutdown_timeout_seconds: Annotated[
        int,
        Meta(ge=1, le=600, description="Longest shutdown of a process; a drain is shortened to fit in."),
    ] = 25

    def __repr__(self) -> str:
        return concealed(self, "jwt_secret", "database_url", "redis_url")

    @property
    def keys(self) -> Keys:
        """The names of this installation's Redis keys and channels. Raises ValueError for a wrong REDIS_URL."""
        # Here, because redis-py takes 90 ms to import, which commands without a Redis need not wait for.
        from broker.redis.address import database_of

        return Keys.of(self.redis_prefix, self.partitions, database_of(self.redis_url))

    @property
    def path_prefix(self) -> str:
        """What stands before a path of the gateway when clients see that path; empty without a ROOT_PATH."""
        return self.root_path.rstrip("/")

    @property
    def bind_host(self) -> str | None:
        """The address to bind; None for all addresses of IPv6 and IPv4, which `::` means."""
        return None if self.host == "::" else self.host

    @property
    def origins(self) -> tuple[str, ...]:
        """The allowed origins, split."""
        return tuple(origin.strip().rstrip("/") for origin in self.cors_origins.split(",") if origin.strip())

    @property
    def logs_json(self) -> bool:
        """Whether log lines are JSON."""
        return self.log_format == "json" or (self.log_format == "auto" and self.environment == "production")


SECRETS = frozenset({"jwt_secret"})
_UNSHOWN = SECRETS | {"database_url", "redis_url"}  # a URL may hold a password, an invalid URL too


class Source(msgspec.Struct, frozen=True):
    """The value of one setting, and where the value came from."""

    variable: str
    value: Any
    origin: Literal["environment", ".env", "default"]

    def __repr__(self) -> str:
        return concealed(self, "value") if self.variable.lower() in _UNSHOWN else super().__repr__()


class SettingsError(ValueError):
    """One or more settings are wrong; the message has a line for each. Correct the environment or `.env`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("wrong configuration:\n" + "\n".join(f"  {problem}" for problem in problems))
        self.problems = problems


def load(environ: Mapping[str, str], env_file: Path | None = None) -> tuple[Settings, list[Source]]:
    """Load settings from `environ`, then `env_file`, then the defaults; returns them and the source of each.

    An empty variable counts as not set. Raises SettingsError with every problem found.
    """
    file = env_files.read(env_file)
    from_file = file.variables
    values: dict[str, Any] = {}
    sources: list[Source] = []
    problems = list(file.problems)
    for field in msgspec.structs.fields(Settings):
        variable = field.name.upper()
        origin: Literal["environment", ".env", "default"] = "default"
        value = field.default
        for candidate, text in (("environment", environ.get(variable)), (".env", from_file.get(variable))):
            if text:
                origin = "environment" if candidate == "environment" else ".env"
                try:
                    value = msgspec.convert(text, field.type, strict=False)
                    if field.name == "database_url":
                        parse(text)
                except msgspec.ValidationError as error:
                    shown = "the value" if field.name in _UNSHOWN else repr(text)
                    words = in_words(str(error), choices_of(field.type), example=_example(field), names_given=False)
                    problems.append(f"{variable}: {shown} ({origin}) {words}")
                except AddressError as error:
                    problems.append(f"{variable}: the value ({origin}) {error}")
                break
        values[field.name] = value
        sources.append(Source(variable, value, origin))
    if not _PREFIX.fullmatch(values["redis_prefix"]):
        problems.append(
            f"REDIS_PREFIX: {values['redis_prefix']!r} is wrong: write 1 to 64 letters, digits, dots, colons, hyphens "
            "and underscores, with a letter or a digit first and last"
        )
    if values["environment"] == "production" and values["jwt_secret"] == DEFAULT_SECRET:
        problems.append(
            "JWT_SECRET: the default is public; production needs its own (for example `openssl rand -hex 32`)"
        )
    if problems:
        raise SettingsError(problems)
    return Settings(**values), sources


def misspelt(environ: Mapping[str, str], env_file: Path | None = None) -> list[str]:
    """A hint for each variable in `environ` or `env_file` whose name is almost that of a setting."""
    return env_files.misspelt([field.name.upper() for field in msgspec.structs.fields(Settings)], environ, env_file)


def _example(field: msgspec.structs.FieldInfo) -> str:
    """A right value: the first example of the setting, else its default."""
    given = (example for meta in getattr(field.type, "__metadata__", ()) for example in meta.examples or ())
    return str(next(given, field.default))
