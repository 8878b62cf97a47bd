"""Pure: the Host header (RFC 9110, section 7.2), and which names of a gateway clients may ask for."""

import ipaddress
import re
from collections.abc import Iterable
from typing import Self

import msgspec

_IN_BRACKETS = re.compile(r"\[([0-9A-Fa-f:.]+)\]")
# What names in DNS hold, an underscore too, which some containers have; a dot at the end means the root of DNS.
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")
_PORT = re.compile(r"[0-9]{1,5}")
_MAX_PORT = 65_535


class Host(msgspec.Struct, frozen=True):
    """A name or an address, in canonical form, and the port; None when the header names no port."""

    name: str
    port: int | None = None

    @property
    def is_local(self) -> bool:
        """Whether no page of the internet can have this name: addresses, `localhost`, and names without a dot.

        DNS rebinding needs a name that belongs to the attacker and leads to the victim's address.
        """
        return is_address(self.name) or "." not in self.name or self.name.endswith(".localhost")


def parse_host(text: str) -> Host | None:
    """Parse `name`, `name:port`, `192.0.2.1:port` or `[2001:db8::1]:port`; None for everything else."""
    name, colon, port = text, "", ""
    if not text.endswith("]"):
        before, colon, after = text.rpartition(":")
        name, port = (before, after) if colon else (text, "")
    canonical = _canonical(name)
    if canonical is None or (colon and not _is_port(port)):
        return None
    return Host(canonical, int(port) if port else None)


def is_address(name: str) -> bool:
    """Whether this is an IP address, IPv6 without brackets."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class AllowedHosts(msgspec.Struct, frozen=True):
    """The names of ALLOWED_HOSTS: exact ones and `*.example.com`, which means every name below `example.com`.

    `only_local` stands for an empty list on a developer's machine: then a name must be local (`Host.is_local`).
    """

    names: frozenset[str] = frozenset()
    suffixes: tuple[str, ...] = ()
    only_local: bool = False

    @classmethod
    def of(cls, entries: Iterable[str], *, only_local: bool = False) -> Self:
        """The names of a list; an empty list and `*` allow every name, but for `only_local`."""
        given = tuple(entries)
        if "*" in given:
            return cls()
        exact = {_canonical(entry) or entry for entry in given if not entry.startswith("*.")}
        suffixes = tuple(entry[1:].lower().rstrip(".") for entry in given if entry.startswith("*."))
        return cls(frozenset(exact), suffixes, only_local=only_local and not given)

    def allows(self, host: Host | None) -> bool:
        """Whether a request may ask for this host; None for a request of HTTP/1.0 that names none."""
        if not (self.names or self.suffixes):
            return not self.only_local or host is None or host.is_local
        return host is not None and (host.name in self.names or host.name.endswith(self.suffixes))


def is_entry(text: str) -> bool:
    """Whether ALLOWED_HOSTS may hold this: a name or an address without a port, `*.name`, or `*`."""
    return text == "*" or _canonical(text.removeprefix("*.")) is not None


def _canonical(name: str) -> str | None:
    """The name in small letters without the root's dot, an address in its shortest form; None for anything else."""
    in_brackets = _IN_BRACKETS.fullmatch(name)
    if in_brackets is not None or ":" in name:
        address = in_brackets[1] if in_brackets is not None else name
        try:
            return str(ipaddress.IPv6Address(address))
        except ValueError:
            return None
    return name.lower().removesuffix(".") if _NAME.fullmatch(name) else None


def _is_port(text: str) -> bool:
    # RFC 3986 allows a colon without a port.
    return not text or (_PORT.fullmatch(text) is not None and int(text) <= _MAX_PORT)
