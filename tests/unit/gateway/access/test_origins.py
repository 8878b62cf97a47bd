"""The Origin header, and which pages may connect."""

import pytest

from gateway.access.hosts import parse_host
from gateway.access.origins import AllowedOrigins, Origin, parse_origin


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://chat.example", Origin("https", "chat.example", 443)),
        ("HTTP://Chat.Example:80", Origin("http", "chat.example", 80)),
        ("http://[::1]:3000", Origin("http", "::1", 3000)),
        ("null", Origin("null", "")),
        ("capacitor://localhost", Origin("capacitor", "localhost")),
        ("app://.", Origin("app", ".")),
        ("chrome-extension://abcdef", Origin("chrome-extension", "abcdef")),
        ("file://", Origin("file", "")),
    ],
)
def test_an_origin_has_scheme_host_and_port(text: str, expected: Origin) -> None:
    """A port that the scheme implies is filled in; schemes of apps have none."""
    assert parse_origin(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "http://[", "http://", "chat.example", "https:chat.example", "https://chat.example/", "NULL"),
        *("https://chat.example/room", "https://ana@chat.example", "https://chat.example:x", "1http://chat.example"),
        *("https://chat.example, https://evil.example", "https://a b", "app://a/b", "https://ch\xe4t.example", "*"),
    ],
)
def test_anything_else_is_no_origin(text: str) -> None:
    """What no browser sends is no origin, also where every origin is allowed."""
    assert parse_origin(text) is None
    assert not AllowedOrigins.of(["*"]).lists(parse_origin(text))


@pytest.mark.parametrize(
    ("origin", "host", "expected"),
    [
        ("http://h", "h", True),
        ("http://h", "h:80", True),
        ("http://h:80", "h", True),
        ("https://h", "h", True),
        ("https://h", "h:443", True),
        ("http://localhost:8000", "localhost:8000", True),
        ("http://[::1]:8000", "[0:0::1]:8000", True),
        ("https://H.example", "h.example.", True),
        ("https://h", "h:80", False),
        ("https://h:8443", "h", False),
        ("http://h:8000", "h:8001", False),
        ("http://localhost:8000", "127.0.0.1:8000", False),
        ("http://evil.example", "h", False),
        ("capacitor://localhost", "localhost", False),
        ("null", "null", False),
    ],
)
def test_a_page_of_the_same_host_and_port_is_allowed(origin: str, host: str, expected: bool) -> None:
    """A Host without a port has the one of the page's scheme, since a proxy may have ended TLS."""
    parsed = parse_origin(origin)
    assert parsed is not None
    assert AllowedOrigins.of(()).allows(parsed, parse_host(host)) is expected
    assert AllowedOrigins.of((origin,)).allows(parsed, parse_host(host))
    assert not AllowedOrigins.of(()).allows(parsed, None)


def test_listed_origins_are_compared_by_their_parts() -> None:
    """Case and the implied port make no difference."""
    allowed = AllowedOrigins.of(("https://Chat.Example:443", "null", "nonsense"))
    assert allowed.lists(parse_origin("https://chat.example"))
    assert allowed.lists(parse_origin("null"))
    assert not allowed.lists(parse_origin("http://chat.example"))
