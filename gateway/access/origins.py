"""Pure: the Origin header (RFC 6454), and which pages may use a gateway."""

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from gateway.access.hosts import Host, parse_host

NULL: Final = "null"
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
# Hosts of schemes that apps register: `app://.`, `chrome-extension://<id>`, `vscode-webview://<id>`.
_APP_HOST = re.compile(r"[a-z0-9._~-]*(:[0-9]{1,5})?")


class Origin(msgspec.Struct, frozen=True):
    """Scheme, host and port, in canonical form; `port` is the scheme's own where the header names none."""

    scheme: str
    host: str
    port: int | None = None

    def is_same_site(self, host: Host) -> bool:
        """Whether a page of this origin asks its own host and port, which the Host header names.

        A Host without a port has the port of the page's scheme: behind a proxy that ends TLS, the gateway itself can't
        know whether that is 80 or 443.
        """
        default = _DEFAULT_PORTS.get(self.scheme)
        if default is None:
            return False
        return (self.host, self.port) == (host.name, default if host.port is None else host.port)


def parse_origin(text: str) -> Origin | None:
    """Parse `scheme://host[:port]` or `null`; None for everything else, such as an address with a path."""
    if text == NULL:
        return Origin(NULL, "")
    scheme, separator, rest = text.lower().partition("://")
    if not separator or _SCHEME.fullmatch(scheme) is None:
        return None
    default = _DEFAULT_PORTS.get(scheme)
    if default is None:
        return Origin(scheme, rest) if _APP_HOST.fullmatch(rest) else None
    host = parse_host(rest)
    return None if host is None else Origin(scheme, host.name, default if host.port is None else host.port)


class AllowedOrigins(msgspec.Struct, frozen=True):
    """The origins of CORS_ORIGINS; `*` among them allows all."""

    listed: frozenset[Origin]
    allows_all: bool = False

    @classmethod
    def of(cls, entries: Iterable[str]) -> "AllowedOrigins":
        """The origins of a list; entries that are none match nothing, and `seance check` names them."""
        given = tuple(entries)
        parsed = (parse_origin(entry) for entry in given)
        return cls(frozenset(origin for origin in parsed if origin is not None), allows_all="*" in given)

    def lists(self, origin: Origin | None) -> bool:
        """Whether the list allows this origin; None, which could not be parsed, is never allowed."""
        return origin is not None and (self.allows_all or origin in self.listed)

    def allows(self, origin: Origin, host: Host | None) -> bool:
        """Whether a page of this origin may connect to this host: a listed origin, or the host's own."""
        return self.lists(origin) or (host is not None and origin.is_same_site(host))
