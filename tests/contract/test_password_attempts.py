"""Attempts at a session's password are counted over all gateways, before any hash is computed."""

from collections.abc import Iterator, Sequence

import pytest

from tests.gateways import Gateway, running_gateways
from tests.raw_client import HEADERS, Json, connected
from tests.rest import create_session
from tests.services import Services

PASSWORD = "open sesame"
# Tokens come so slowly that none comes during a test.
PER_ADDRESS, PER_SESSION = 3, 8


@pytest.fixture(scope="module")
def pair(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sequence[Gateway]]:
    """Two gateways that admit few attempts."""
    with running_gateways(
        services,
        tmp_path_factory.mktemp("pair"),
        count=2,
        limits="on",
        limit_attempts=f"0.001+{PER_ADDRESS}",
        limit_attempts_session=f"0.001+{PER_SESSION}",
    ) as gateways:
        yield gateways


async def attempt(gateway: Gateway, session_id: str, address: str, **fields: object) -> tuple[Json, int | None]:
    """The answer to a join from this address, and the code of the close that follows it; None: admitted."""
    headers = {**HEADERS, "X-Forwarded-For": address}
    async with connected(gateway.url, session_id, headers=headers) as client:
        await client.say({"type": "join", "name": "Ana", **fields})
        event = await client.event()
        if event["type"] == "welcome":
            await client.say({"type": "leave"})
            return event, None
        return event["data"], (await client.closed())[0]


async def test_an_address_has_few_attempts_at_a_session(pair: Sequence[Gateway]) -> None:
    """Beyond them the right password is refused too, on any gateway; others, other sessions and tokens are admitted."""
    session, another = [await create_session(pair[0].url, password=PASSWORD) for _ in range(2)]
    for number in range(PER_ADDRESS):
        data, code = await attempt(pair[number % 2], session["id"], "203.0.113.1", password="guess")
        assert (data["code"], data["message"], code) == ("unauthorized", "the password is wrong", 4501)
    for gateway in pair:
        data, code = await attempt(gateway, session["id"], "203.0.113.1", password=PASSWORD)
        assert (data["code"], data["retryable"], code) == ("rate_limited", True, 4004)
        assert 0 < data["retry_after_ms"] <= 1_000_000
    for session_id, address, fields in (
        (session["id"], "203.0.113.2", {"password": PASSWORD}),
        (another["id"], "203.0.113.1", {"password": PASSWORD}),
        (session["id"], "203.0.113.1", {"token": session["host_token"]}),
    ):
        assert (await attempt(pair[1], session_id, address, **fields))[1] is None


async def test_a_session_has_attempts_for_all_addresses_together(pair: Sequence[Gateway]) -> None:
    """A right password gives nothing back; a join without a password, and with a token, costs no attempt."""
    session = await create_session(pair[0].url, password=PASSWORD)
    for number in range(PER_SESSION):
        address = f"2001:db8:0:{number}::1"
        assert (await attempt(pair[number % 2], session["id"], address, password=PASSWORD))[1] is None
        assert (await attempt(pair[0], session["id"], address))[1] == 4501
    data, code = await attempt(pair[0], session["id"], "2001:db8:1::1", password=PASSWORD)
    assert (data["code"], code) == ("rate_limited", 4004)
    assert (await attempt(pair[0], session["id"], "2001:db8:1::1", token=session["host_token"]))[1] is None
