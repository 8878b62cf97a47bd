"""The Python client against a real gateway with low limits: delays, and no error."""

import asyncio
from pathlib import Path

from seance_client import Client
from seance_client.rest import Rest

from tests.clients.following import messages
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
