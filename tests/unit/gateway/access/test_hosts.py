"""The Host header, and the names of ALLOWED_HOSTS."""

import pytest

from gateway.access.hosts import AllowedHosts, Host, is_entry, parse_host


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("chat.example", Host("chat.example")),
        ("Chat.EXAMPLE.:8443", Host("chat.example", 8443)),
        ("gateway_1:80", Host("gateway_1", 80)),
        ("chat.example:", Host("chat.example")),
        ("192.0.2.1:8000", Host("192.0.2.1", 8000)),
        ("[2001:DB8:0::1]:443", Host("2001:db8::1", 443)),
        ("[::1]", Host("::1")),
        ("", None),
        (":80", None),
        ("chat.example:http", None),
        ("chat.example:65536", None),
        ("chat.example:8000:1", None),
        ("chat example", None),
        ("chat.example/path", None),
        ("ana@chat.example", None),
        ("-chat.example", None),
        ("[::1", None),
        ("[chat.example]", None),
        ("chät.example", None),
    ],
)
def test_a_host_is_a_name_or_an_address_with_perhaps_a_port(text: str, expected: Host | None) -> None:
    """Names come in small letters, addresses in their shortest form; anything else is no Host."""
    assert parse_host(text) == expected


@pytest.mark.parametrize(
    ("entries", "good", "bad"),
    [
        ([], ["chat.example", "evil.example", "127.0.0.1"], []),
        (["*"], ["chat.example", "127.0.0.1"], []),
        (["Chat.Example", "::1"], ["chat.example", "chat.example:8443", "[::1]:80"], ["x.chat.example", "127.0.0.1"]),
        (
            ["*.example.com"],
            ["a.example.com", "a.b.example.com"],
            ["example.com", "badexample.com", "example.com.evil"],
        ),
    ],
)
def test_only_listed_names_are_allowed(entries: list[str], good: list[str], bad: list[str]) -> None:
    """An empty list allows all; a star stands for one name or more in front, never for the name itself."""
    allowed = AllowedHosts.of(entries)
    assert all(allowed.allows(parse_host(text)) for text in good)
    assert not any(allowed.allows(parse_host(text)) for text in bad)
    assert allowed.allows(None) is (not bad)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("localhost:8000", True),
        ("app.localhost", True),
        ("127.0.0.1:8000", True),
        ("[::1]:8000", True),
        ("192.168.1.5", True),
        ("gateway", True),
        ("evil.example:8000", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
    ],
)
def test_an_attackers_name_is_not_local(text: str, expected: bool) -> None:
    """Without a list, local names are let in, which no page of the internet can have; a list replaces that."""
    host = parse_host(text)
    assert AllowedHosts.of((), only_local=True).allows(host) is expected
    assert AllowedHosts.of(["*"], only_local=True).allows(host)
    assert not AllowedHosts.of(["chat.example"], only_local=True).allows(host)


def test_entries_have_no_port_and_no_scheme() -> None:
    """`seance check` complains of anything that can match no Host."""
    assert all(map(is_entry, ["*", "chat.example", "*.chat.example", "192.0.2.1", "::1", "[::1]"]))
    assert not any(map(is_entry, ["chat.example:8000", "https://chat.example", "*chat", "a.*.example", ""]))
