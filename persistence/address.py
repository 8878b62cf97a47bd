"""Reads DATABASE_URL in every form that hosts hand out. Pure: it opens nothing, and no message quotes the value."""

import re
from collections.abc import Iterable, Mapping
from typing import Literal
from urllib.parse import parse_qsl, unquote

import msgspec

from broker.secrecy import concealed

Pooler = Literal["auto", "session", "transaction"]

SCHEMES = ("postgresql", "postgres", "postgresql+asyncpg")
DEFAULT_PORT = 5432
# What asyncpg reads itself, from a URL that holds nothing else.
TLS = frozenset(
    {
        *("sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl", "sslnegotiation"),
        *("ssl_min_protocol_version", "ssl_max_protocol_version"),
    }
)
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
# Words of other drivers for a mode of libpq.
_OTHER_SSL_MODES = {"true": "require", "1": "require", "false": "disable", "0": "disable", "no-verify": "require"}
_KEEPALIVES = frozenset(
    {"keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"}
)
_SERVER_SETTINGS = frozenset({"application_name", "options"})
_PLACES = frozenset({"host", "port", "user", "password", "dbname", "database", "passfile"})
# A parameter of which only these values mean what we do anyway.
_FIXED = {
    "gssencmode": ("disable", "prefer"),
    "client_encoding": ("utf8", "utf-8", "unicode", "auto"),
    "sslcompression": ("0",),
    "sslsni": ("1",),
    "load_balance_hosts": ("disable",),
    "target_session_attrs": ("any", "read-write", "primary"),
    "channel_binding": ("disable", "prefer", "require"),
}
# Labels of hosts and switches of other drivers that ask nothing of us.
_WITHOUT_MEANING = frozenset({"supa", "uselibpqcompat", "fallback_application_name"})
_HINTS = {
    "connection_limit": "set DB_POOL_SIZE instead",
    "pool_timeout": "set DB_TIMEOUT_SECONDS instead",
    "schema": "set DATABASE_SCHEMA instead",
    "currentSchema": "set DATABASE_SCHEMA instead",
    "search_path": "set DATABASE_SCHEMA instead",
    "service": "write out what the service file says",
    "hostaddr": "write the address as the host",
}
_FORM = "postgresql://user:password@host:5432/database"
_keywords = re.compile(r"\s*(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)*)(?=\s|$)")
_is_word = re.compile(r"[A-Za-z_]{1,40}").fullmatch
_escaped = re.compile(r"\\(.)")
_has_scheme = re.compile(r"[\w+:]+://", re.ASCII).match


class AddressError(ValueError):
    """DATABASE_URL can't be read or can't be honoured; the message says why and never quotes a value."""


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where a database is and how to connect to it; what is None comes from the PG… variables, as for psql.

    `tls` holds libpq's `ssl…` parameters, `server_settings` what the server is told at the start, and `keepalives`
    libpq's parameters in seconds, milliseconds and counts. `needs_writable` asks for a server that takes writes.
    `has_pooler` is true when the URL itself says that a transaction pooler is in front.
    """

    hosts: tuple[tuple[str, int], ...]
    user: str | None = None
    password: str | None = None
    database: str | None = None
    passfile: str | None = None
    tls: Mapping[str, str]
    server_settings: Mapping[str, str]
    keepalives: Mapping[str, int]
    connect_seconds: int | None = None
    needs_writable: bool = False
    has_pooler: bool = False

    @property
    def shown(self) -> str:
        """The address for people, without the password."""
        user = f"{self.user}@" if self.user else ""
        hosts = ",".join(f"[{host}]:{port}" if host.count(":") > 1 else f"{host}:{port}" for host, port in self.hosts)
        return f"postgresql://{user}{hosts}/{self.database or ''}"

    def __repr__(self) -> str:
        """Without the password and the files and password of TLS, since tracebacks and logs show this."""
        return concealed(self, "password", "tls")


def parse(url: str) -> Address:
    """The address in a URL, or in libpq's `host=… user=…` form. Raises AddressError."""
    given = _from_url(url.strip()) if _has_scheme(url.strip()) else _from_keywords(url.strip())
    for name in ("dbname", "database"):
        if name in given:
            given["database"] = given.pop(name)
    _refuse_unknown(given)
    hosts = _hosts(given.get("host", ""), given.get("port", ""))
    return Address(
        hosts=hosts,
        **{name: given[name] for name in ("user", "password", "database", "passfile") if given.get(name)},
        tls=_tls(given),
        server_settings={name: given[name] for name in sorted(_SERVER_SETTINGS) if given.get(name)},
        keepalives={name: _whole_number(given, name) for name in sorted(_KEEPALIVES) if name in given},
        connect_seconds=_whole_number(given, "connect_timeout") or None,
        # Of several servers only the primary is of use, even when nobody says so.
        needs_writable=len(hosts) > 1 or given.get("target_session_attrs", "any") != "any",
        has_pooler=_has_pooler(given),
    )


def _from_url(url: str) -> dict[str, str]:
    scheme, _, rest = url.partition("://")
    if scheme.lower() not in SCHEMES:
        raise AddressError(f"must start with {', '.join(f'{known}://' for known in SCHEMES)}")
    if "#" in rest:
        raise AddressError("holds a `#`: in a user name or a password write %23")
    unreadable = AddressError(f"is not a URL such as {_FORM}: in a password write / as %2F, ? as %3F and [ as %5B")
    # Not by `urlsplit`: some releases of Python refuse an address in brackets that is not the first host.
    before_query, _, query = rest.partition("?")
    authority, _, database = before_query.partition("/")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError as error:
        raise unreadable from error
    if authority.count("[") != authority.count("]") or (authority and "@" in rest and "@" not in authority):
        raise unreadable
    credentials, _, places = authority.rpartition("@")
    user, _, password = credentials.partition(":")
    hosts, ports = _places_in_url(places)
    found = {
        "user": unquote(user),
        "password": unquote(password),
        "host": hosts,
        "port": ports,
        "dbname": unquote(database),
    }
    repeated = {name for name, _ in pairs if [other for other, _ in pairs].count(name) > 1}
    if repeated:
        raise AddressError(f"has the parameter {_named(repeated)} more than once")
    return {name: value for name, value in found.items() if value} | dict(pairs)


def _places_in_url(places: str) -> tuple[str, str]:
    """`one:5432,[::1]` as the hosts and the ports, each separated by commas."""
    hosts, ports = [], []
    for place in places.split(",") if places else ():
        host, colon, port = place.rpartition(":")
        if not colon or port.endswith("]"):
            host, port = place, ""
        if port and not _is_port(port):
            raise AddressError("has a port that is no number: in a password write : as %3A, / as %2F and ? as %3F")
        hosts.append(unquote(host.removeprefix("[").removesuffix("]")))
        ports.append(port)
    return ",".join(hosts), ",".join(ports)


def _from_keywords(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    place = 0
    while text[place:].strip():
        match = _keywords.match(text, place)
        if match is None:
            raise AddressError(f"is not a URL such as {_FORM}")
        name, value = match.groups()
        if name in found:
            raise AddressError(f"has the parameter `{name}` more than once")
        found[name] = _escaped.sub(r"\1", value[1:-1] if value.startswith("'") else value)
        place = match.end()
    if not found:
        raise AddressError(f"is not a URL such as {_FORM}")
    return found


def _refuse_unknown(given: Mapping[str, str]) -> None:
    known = {
        *(TLS | _KEEPALIVES | _SERVER_SETTINGS | _PLACES | _WITHOUT_MEANING | _FIXED.keys()),
        *("ssl", "connect_timeout", "pgbouncer", "statement_cache_size", "prepared_statement_cache_size"),
    }
    for name in sorted(given.keys() - known):
        shown = f"the parameter `{name}`" if _is_word(name) else "a parameter"
        raise AddressError(f"has {shown}, which can't be honoured: {_HINTS.get(name, 'remove it')}")
    for name, allowed in _FIXED.items():
        if name in given and given[name].lower() not in allowed:
            raise AddressError(f"has `{name}` with a value that can't be honoured: use {' or '.join(allowed)}")


def _hosts(hosts: str, ports: str) -> tuple[tuple[str, int], ...]:
    if not hosts:
        if ports:
            raise AddressError("has a port, but no host")
        return ()
    names = hosts.split(",")
    numbers = ports.split(",") if ports else [""]
    if len(numbers) == 1:
        numbers *= len(names)
    if len(numbers) != len(names) or not all(names):
        raise AddressError("must have one host for each port, and each host a name")
    if not all(_is_port(number) for number in numbers if number):
        raise AddressError("has a port that is not a number from 1 to 65535")
    return tuple((name, int(number or DEFAULT_PORT)) for name, number in zip(names, numbers, strict=True))


def _tls(given: Mapping[str, str]) -> dict[str, str]:
    found = {name: given[name] for name in sorted(TLS) if given.get(name)}
    mode = (given.get("sslmode") or given.get("ssl", "")).lower()
    mode = _OTHER_SSL_MODES.get(mode, mode)
    if mode and mode not in SSL_MODES:
        raise AddressError(f"has an `sslmode` that does not exist: use one of {', '.join(SSL_MODES)}")
    if given.get("channel_binding") == "require":
        # asyncpg can't bind the channel. A verified certificate protects from the same attacker in the middle.
        if mode in {"disable", "allow", "prefer"}:
            raise AddressError(f"asks for `channel_binding=require` and `sslmode={mode}`: write sslmode=require")
        mode = "verify-full"
        found.setdefault("sslrootcert", "system")
    if found.get("sslrootcert") == "system":
        if mode not in {"", "verify-full"}:
            raise AddressError("has `sslrootcert=system`, which needs sslmode=verify-full")
        mode = "verify-full"
    return found | ({"sslmode": mode} if mode else {})


def _has_pooler(given: Mapping[str, str]) -> bool:
    sizes = {name for name in ("statement_cache_size", "prepared_statement_cache_size") if name in given}
    if any(_whole_number(given, name) for name in sizes):
        raise AddressError(f"has {_named(sizes)}, which can only be 0 (as for a transaction pooler)")
    said = given.get("pgbouncer", "false").lower()
    if said not in {"true", "false", "1", "0"}:
        raise AddressError("has `pgbouncer` with a value that is neither true nor false")
    return bool(sizes) or said in {"true", "1"}


def _whole_number(given: Mapping[str, str], name: str) -> int:
    text = given.get(name, "0")
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise AddressError(f"has `{name}` with a value that is not a whole number")
    return int(text)


def _is_port(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,5}", text) is not None and 1 <= int(text) <= 65535  # noqa: PLR2004 - the last port


def _named(names: Iterable[str]) -> str:
    return " and ".join(f"`{name}`" for name in sorted(names))
