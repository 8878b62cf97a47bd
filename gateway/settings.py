"""Every setting, with its default; gateway/configuration.py reads them from the environment and `.env`."""

import ipaddress
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from broker.keys import Keys
from broker.secrecy import concealed
from gateway.limits.rate import Rate

MIN_SECRET = 32
DEFAULT_SECRET = "seance-development-secret-do-not-use-in-production"  # noqa: S105 - refused in production

Port = Annotated[int, Meta(ge=0, le=65535)]
Positive = Annotated[int, Meta(ge=1)]
NotNegative = Annotated[int, Meta(ge=0)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting of a gateway, a worker and the tools; the variable is the field's name in capitals."""

    environment: Annotated[
        Literal["development", "test", "production"],
        Meta(description="Production refuses a JWT_SECRET that is public or weak, and logs JSON."),
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
    trusted_proxies: Annotated[
        str,
        Meta(
            description="Networks with a trusted X-Forwarded-For, such as `10.0.0.0/8`, comma-separated; `*` for all."
        ),
    ] = "127.0.0.1"
    allowed_hosts: Annotated[
        str,
        Meta(
            description="Names under which clients may ask, comma-separated, such as `*.example.com`; `*`: any. Empty: "
            "any, but in development on loopback only `localhost` and addresses."
        ),
    ] = ""
    admin_port: Annotated[
        Port,
        Meta(
            description="Port on HOST for `/metrics`, `/docs` and the details of `/health`; in production they answer "
            "only there, or to a token of scope `admin`. 0: none."
        ),
    ] = 0

    auth_mode: Annotated[
        Literal["auto", "open", "token"],
        Meta(
            description="`open`: a session's id is the key to the session; `token`: everything needs a token; `auto`: "
            "`token` in production, else `open`."
        ),
    ] = "auto"
    jwt_secret: Annotated[
        str,
        Meta(
            min_length=MIN_SECRET,
            description="Signs tokens (HS256); the same on every replica, such as the output of "
            "`openssl rand -hex 32`. The default is for loopback addresses in HOST only.",
        ),
    ] = DEFAULT_SECRET
    jwt_secrets_old: Annotated[
        str, Meta(description="Former values of JWT_SECRET, comma-separated; their tokens are still verified.")
    ] = ""
    jwks_url: Annotated[
        str,
        Meta(
            pattern=r"^(https?://\S+)?$",
            description="Public keys of an identity provider (RS256, ES256, EdDSA), whose tokens are taken too.",
        ),
    ] = ""
    jwks_file: Annotated[str, Meta(description="A file with such keys, in place of JWKS_URL.")] = ""
    jwt_issuer: Annotated[
        str, Meta(description="What `iss` must be in tokens of the identity provider; empty: not checked.")
    ] = ""
    jwt_audience: Annotated[
        str,
        Meta(description="What `aud` must hold in tokens of the identity provider; needed with JWKS_URL."),
    ] = ""
    jwt_name_claim: Annotated[
        str, Meta(min_length=1, description="Claim of the identity provider's tokens that has the user's name.")
    ] = "name"
    jwt_session_claim: Annotated[
        str,
        Meta(
            min_length=1,
            description="Claim of the identity provider's tokens that has the session; many providers use `sid` for "
            "a session of their own.",
        ),
    ] = "sid"
    jwt_scope_claim: Annotated[
        str, Meta(min_length=1, description="Claim of the identity provider's tokens that has the scope.")
    ] = "scope"
    jwt_expires_seconds: Annotated[
        int, Meta(ge=60, le=31_536_000, description="How long host tokens and user tokens are valid.")
    ] = 86_400
    ban_seconds: Annotated[
        int, Meta(ge=0, le=31_536_000, description="How long a removed person stays out of a session.")
    ] = 3600
    cors_origins: Annotated[
        str,
        Meta(
            description="Origins of pages that may connect, comma-separated; `*` for all. Pages of the gateway's own "
            "host and port always may.",
            examples=["https://chat.example"],
        ),
    ] = ""

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
        NotNegative, Meta(description="Sockets of one client address (IPv6: of a /64) on all gateways; 0: no limit.")
    ] = 1000
    turn_frames: Annotated[
        Positive, Meta(description="Frames of one socket that are handled before the other sockets have their turn.")
    ] = 64
    turn_bytes: Annotated[
        Positive, Meta(description="Bytes of one socket that are handled before the other sockets have their turn.")
    ] = 65_536
    max_in_flight_per_socket: Annotated[
        Positive, Meta(description="Commands of one socket that may wait for Redis; then the socket is not read.")
    ] = 64
    max_log_bytes: Annotated[
        int, Meta(ge=16_384, description="Bytes of recent events a session keeps in Redis for resuming clients.")
    ] = 1_048_576
    max_session_backlog_bytes: Annotated[
        int,
        Meta(ge=65_536, description="Bytes of a session's messages that may wait for Postgres; then more are refused."),
    ] = 8_388_608

    limits: Annotated[
        Literal["on", "off"],
        Meta(
            description="`off`, for load tests on your own cluster, switches off every rate below. "
            "`20+40`: 20 a second after a burst of 40; `0`: no limit."
        ),
    ] = "on"
    limit_frames: Annotated[Rate, Meta(description="Frames of any kind of one socket; a second + burst.")] = Rate.parse(
        "200+400"
    )
    limit_messages_connection: Annotated[Rate, Meta(description="Messages of one socket; a second + burst.")] = (
        Rate.parse("20+40")
    )
    limit_messages_user: Annotated[
        Rate, Meta(description="Messages of one user, over all gateways; a second + burst.")
    ] = Rate.parse("20+40")
    limit_messages_session: Annotated[
        Rate,
        Meta(description="Messages of one session, over all gateways; a second + burst."),
    ] = Rate.parse("500+1000")
    limit_typing: Annotated[Rate, Meta(description="`typing` commands of one socket; a second + burst.")] = Rate.parse(
        "0.5+2"
    )
    limit_joins: Annotated[Rate, Meta(description="Joins of one address; a second + burst.")] = Rate.parse("20+200")
    limit_resumes: Annotated[Rate, Meta(description="Resumes of one user; a second + burst.")] = Rate.parse("1+10")
    limit_creates: Annotated[Rate, Meta(description="Sessions created by one address or token; a second + burst.")] = (
        Rate.parse("5+50")
    )
    limit_password_creates: Annotated[
        Rate,
        Meta(description="Sessions with a password created by one address or token; a second + burst."),
    ] = Rate.parse("1+10")
    limit_attempts: Annotated[
        Rate,
        Meta(description="Password attempts of one address on one session; a second + burst."),
    ] = Rate.parse("0.1+5")
    limit_attempts_session: Annotated[Rate, Meta(description="Password attempts on one session; a second + burst.")] = (
        Rate.parse("2+100")
    )
    limit_reads: Annotated[Rate, Meta(description="REST reads of one address or token; a second + burst.")] = (
        Rate.parse("50+200")
    )
    limit_writes: Annotated[Rate, Meta(description="REST writes of one address or token; a second + burst.")] = (
        Rate.parse("20+100")
    )
    limit_appends: Annotated[Rate, Meta(description="Pieces of one streamed message; a second + burst.")] = Rate.parse(
        "100+200"
    )

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
        return concealed(self, "jwt_secret", "jwt_secrets_old", "database_url", "redis_url")

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
        """The listed origins, split."""
        return tuple(origin.rstrip("/") for origin in _split(self.cors_origins))

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names of ALLOWED_HOSTS, split."""
        return _split(self.allowed_hosts)

    @property
    def proxies(self) -> tuple[str, ...]:
        """The networks of TRUSTED_PROXIES, or `*`; entries that are none are left out (`seance check` names them)."""
        networks = (_network(written) for written in _split(self.trusted_proxies))
        return tuple(network for network in networks if network is not None)

    @property
    def is_production(self) -> bool:
        """Whether ENVIRONMENT is `production`."""
        return self.environment == "production"

    @property
    def serves_only_this_machine(self) -> bool:
        """Whether a developer runs it for this machine alone: then a browser here is what an attacker can reach."""
        return self.environment == "development" and is_loopback(self.host)

    @property
    def old_secrets(self) -> tuple[str, ...]:
        """The former secrets, split."""
        return tuple(secret.strip() for secret in self.jwt_secrets_old.split(",") if secret.strip())

    @property
    def needs_tokens(self) -> bool:
        """Whether creating, joining, reading and publishing need a token (`AUTH_MODE` in force is `token`)."""
        return self.auth_mode == "token" or (self.auth_mode == "auto" and self.environment == "production")

    @property
    def logs_json(self) -> bool:
        """Whether log lines are JSON."""
        return self.log_format == "json" or (self.log_format == "auto" and self.environment == "production")


def is_loopback(host: str) -> bool:
    """Whether an address to listen on reaches only this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _network(written: str) -> str | None:
    try:
        return "*" if written == "*" else str(ipaddress.ip_network(written, strict=False))
    except ValueError:
        return None


SECRETS = frozenset({"jwt_secret", "jwt_secrets_old"})
