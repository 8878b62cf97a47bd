"""What counts as one address: an IPv4 address, or the /64 of an IPv6 address, which one customer has. Pure."""

from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address

_PREFIX = 64


@lru_cache(maxsize=4096)  # one socket asks several times, and an IPv6 address takes 15 µs
def subject_of(address: str) -> str:
    """The address in canonical form, by which limits count: `203.0.113.7`, `2001:db8:0:1::/64`.

    An IPv4 address that is mapped into IPv6 (RFC 4291, section 2.5.5.2) is the IPv4 address. What is no address, as
    behind a proxy that names none, stays as it is.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((int(parsed), _PREFIX), strict=False))
