"""The opening handshake: refusals with their status, and the bytes of the answer."""

import pytest

from gateway.protocol.handshake import Refusal, accept_key, check_request, response

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # the example of RFC 6455
GOOD = {
    b"host": b"example.org",
    b"upgrade": b"websocket",
    b"connection": b"Upgrade",
    b"sec-websocket-version": b"13",
    b"sec-websocket-key": KEY,
}
NOT_WEBSOCKET = (426, "this address speaks WebSocket")
WRONG_VERSION = (426, "WebSocket version 13 is required")
WRONG_KEY = (400, "Sec-WebSocket-Key must be 16 bytes in base64, once")


def check(headers: dict[bytes, bytes], method: str = "GET", http_version: str = "1.1") -> Refusal | None:
    return check_request(method, http_version, headers.items())


@pytest.mark.parametrize(
    "change",
    [
        {},
        {b"upgrade": b"WebSocket"},
        {b"upgrade": b"h2c, websocket"},
        {b"connection": b"keep-alive, upgrade"},
        {b"sec-websocket-key": b"  " + KEY + b" "},
    ],
    ids=repr,
)
def test_a_valid_request_is_accepted(change: dict[bytes, bytes]) -> None:
    """Tokens match without regard to case, also in lists."""
    assert check({**GOOD, **change}) is None


def test_header_names_match_in_any_case() -> None:
    """Header names match without regard to case."""
    assert check_request("GET", "1.1", [(name.title(), value) for name, value in GOOD.items()]) is None


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({b"upgrade": b""}, NOT_WEBSOCKET),
        ({b"upgrade": b"websockets"}, NOT_WEBSOCKET),
        ({b"connection": b"keep-alive"}, NOT_WEBSOCKET),
        ({b"sec-websocket-version": b""}, WRONG_VERSION),
        ({b"sec-websocket-version": b"8"}, WRONG_VERSION),
        ({b"sec-websocket-version": b"13, 8"}, WRONG_VERSION),
        ({b"sec-websocket-key": b""}, WRONG_KEY),
        ({b"sec-websocket-key": b"not base64!"}, WRONG_KEY),
        ({b"sec-websocket-key": b"c2hvcnQ="}, WRONG_KEY),
        ({b"sec-websocket-key": b"bG9uZ2VyIHRoYW4gc2l4dGVlbiBieXRlcw=="}, WRONG_KEY),
        ({b"sec-websocket-key": KEY[:-1]}, WRONG_KEY),
        ({b"sec-websocket-key": "ключ".encode()}, WRONG_KEY),
    ],
    ids=repr,
)
def test_a_wrong_header_is_refused_with_its_status(change: dict[bytes, bytes], expected: tuple[int, str]) -> None:
    """Each wrong header has its own status and reason."""
    refusal = check({**GOOD, **change})
    assert refusal is not None
    assert (refusal.status, refusal.reason) == expected


@pytest.mark.parametrize(
    ("change", "is_refused"),
    [
        ({b"content-length": b"0"}, False),
        ({b"content-length": b"1"}, True),
        ({b"content-length": b"00"}, True),
        ({b"transfer-encoding": b"chunked"}, True),
    ],
)
def test_a_request_with_a_body_is_refused(change: dict[bytes, bytes], *, is_refused: bool) -> None:
    """The bytes of a body would be taken for frames."""
    refusal = check({**GOOD, **change})
    assert (refusal is not None and refusal.status == 400) is is_refused


def test_a_missing_header_is_refused() -> None:
    """A missing header is refused like a wrong one."""
    reasons = {name: check({other: GOOD[other] for other in GOOD if other != name}) for name in GOOD}
    statuses = {name: refusal.status if refusal else None for name, refusal in reasons.items()}
    assert statuses == {
        b"host": None,
        b"upgrade": 426,
        b"connection": 426,
        b"sec-websocket-version": 426,
        b"sec-websocket-key": 400,
    }


def test_a_repeated_version_or_key_is_refused() -> None:
    """Version and key may be given once only."""
    for name, status in ((b"sec-websocket-version", 426), (b"sec-websocket-key", 400)):
        refusal = check_request("GET", "1.1", [*GOOD.items(), (name, GOOD[name])])
        assert refusal is not None
        assert refusal.status == status


def test_only_get_over_http_1_1_is_accepted() -> None:
    """Only GET over HTTP/1.1 opens a WebSocket."""
    assert check(GOOD, method="POST") == Refusal(405, "a WebSocket opens with GET", ((b"allow", b"GET"),))
    assert check(GOOD, http_version="1.0") == Refusal(400, "a WebSocket opens over HTTP/1.1")


def test_a_426_names_the_required_protocol() -> None:
    """A 426 names the protocol or the version that the server supports."""
    versions = check({**GOOD, b"sec-websocket-version": b"8"})
    upgrade = check({**GOOD, b"upgrade": b"h2c"})
    assert versions is not None
    assert upgrade is not None
    assert versions.headers == ((b"sec-websocket-version", b"13"),)
    assert upgrade.headers == ((b"upgrade", b"websocket"), (b"connection", b"Upgrade"))


def test_the_accept_key_is_that_of_the_rfc() -> None:
    """The accept value is that of RFC 6455's example."""
    assert accept_key(KEY) == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_the_response_is_a_complete_101() -> None:
    """The answer is a complete 101 with the given subprotocol and headers."""
    assert response(KEY, b"seance.v1.batch", [(b"x-request-id", b"r1")]) == (
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"upgrade: websocket\r\n"
        b"connection: Upgrade\r\n"
        b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
        b"sec-websocket-protocol: seance.v1.batch\r\n"
        b"x-request-id: r1\r\n"
        b"\r\n"
    )
    assert b"protocol" not in response(KEY).lower().split(b"\r\n", 1)[1]


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb"])
def test_a_response_header_with_a_line_break_raises(value: bytes) -> None:
    """A line break in a header raises, so that no header can be injected."""
    with pytest.raises(ValueError, match="line break"):
        response(KEY, None, [(b"x-request-id", value)])
    with pytest.raises(ValueError, match="line break"):
        response(KEY, value)
