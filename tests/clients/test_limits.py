"""The Python client against real gateways with low limits: delays, and no error."""

import asyncio
from pathlib import Path

from seance_client import Client, Connected, Disconnected, ErrorReceived
from seance_client.rest import Rest

from tests.clients.following import QUICK, messages, next_of
from tests.gateways import running_gateways
from tests.services import Services


async def test_messages_beyond_a_rate_arrive_later_and_in_order(services: Services, tmp_path: Path) -> None:
    """The application sees a delay: no message is lost, repeated or overtaken, and the connection goes on."""
    with running_gateways(services, tmp_path, limits="on", limit_messages_connection="20+10") as [gateway]:
        async with Rest(gateway.url) as rest:
            session = await rest.create_session("evening", spirit=False)
        async with (
            Client(gateway.url, session.id, name="Ben") as ben,
            Client(gateway.url, session.id, name="Ana", wants_events=False) as ana,
        ):
            acks = await asyncio.gather(*(ana.send(f"{number}", timeout=60) for number in range(60)))
            assert [ack.seq for ack in acks] == list(range(acks[0].seq, acks[0].seq + 60))
            assert await messages(ben, 60) == [f"{number}" for number in range(60)]
            assert ana.is_connected


async def test_a_join_beyond_a_rate_comes_in_later(services: Services, tmp_path: Path) -> None:
    """The client waits as long as the gateway says, and is in then."""
    with running_gateways(services, tmp_path, limits="on", limit_joins="0.4+1") as [gateway]:
        async with Rest(gateway.url) as rest:
            session = await rest.create_session("evening", spirit=False)
        async with (
            Client(gateway.url, session.id, name="Ben", policy=QUICK),
            Client(gateway.url, session.id, name="Ana", policy=QUICK) as ana,
        ):
            error = await next_of(ana, ErrorReceived)
            assert (error.code, error.retry_after is not None) == ("rate_limited", True)
            lost = await next_of(ana, Disconnected)
            assert lost.will_retry
            assert lost.code == 4004
            assert lost.retry_seconds > 0.5 * (error.retry_after or 0)
            await next_of(ana, Connected)
