"""Users who stay for longer than their tokens, while gateways are replaced and die: nobody is thrown out."""

import asyncio
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from gateway.access.claims import Claims
from gateway.access.signatures import LEEWAY_SECONDS
from gateway.access.tokens import Tokens
from tests.gateways import SECRET, Gateway, running_gateways
from tests.raw_client import connected
from tests.reconnecting_clients import ReconnectingClient, all_in, staying
from tests.rest import call, users
from tests.services import Services
from tests.waiting import eventually

TOKENS = Tokens(SECRET, 3600)
# So short that every connection of this test outlives its first token; a token of a day is renewed in the same way.
TOKEN_SECONDS = 2


async def renewed(guests: Sequence[ReconnectingClient]) -> None:
    """Return once every guest has got another token."""
    before = [guest.renewals for guest in guests]
    await eventually(
        lambda: all(guest.renewals > count for guest, count in zip(guests, before, strict=True)),
        what="a renewal of each token",
    )


async def lose(gateway: Gateway, guests: Sequence[ReconnectingClient], *, by_kill: bool) -> None:
    """End a gateway, and return once every guest has lost its connection."""
    before = [len(guest.farewells) for guest in guests]
    if by_kill:
        gateway.signal(signal.SIGKILL)
        await asyncio.to_thread(gateway.wait)
    else:
        assert await asyncio.to_thread(gateway.stop) == 0
    await eventually(
        lambda: all(len(guest.farewells) > count for guest, count in zip(guests, before, strict=True)),
        what="the end of each connection",
    )


async def test_nobody_is_thrown_out_by_a_restart_after_the_end_of_a_token(services: Services, tmp_path: Path) -> None:
    """Over three lost gateways two users keep their seats, by renewed tokens; a witness sees nobody come or go.

    The tokens of one user are renewed by the gateways, those of the other by an application. At the end the first token
    of either is no longer valid.
    """
    with running_gateways(services, tmp_path, 2, auth_mode="token") as gateways:
        host = TOKENS.create_access_token(Claims(scope="admin"))
        created = await call(gateways[0].url, "POST", "/api/sessions", token=host, body={"name": "Nights"})
        session = created.json()["data"]

        def minted(claims: Claims, seconds: int = TOKEN_SECONDS) -> str:
            return TOKENS.create_access_token(claims, expires_seconds=seconds)

        def of_application() -> str:
            return minted(Claims(scope="sessions:join", subject="person-17", name="Ben"))

        user = Claims.user(session["id"], str(uuid4()), "Ana")
        first_tokens = [minted(user), of_application()]
        ended_at = time.time() + TOKEN_SECONDS + LEEWAY_SECONDS
        guests = [
            ReconnectingClient(gateways[0].url, session["id"], "Ana", token=first_tokens[0]),
            ReconnectingClient(gateways[0].url, session["id"], "Ben", token=first_tokens[1], provide=of_application),
        ]
        witness = ReconnectingClient(
            gateways[0].url, session["id"], "Witness", token=minted(Claims.host(session["id"]), 3600)
        )
        async with staying([witness]), staying(guests):
            assert sorted(witness.came_and_went()) == ["Ana", "Ben"]
            for number in range(3):
                leaving, staying_one = gateways[number % 2], gateways[1 - number % 2]
                await renewed(guests)
                for guest in (*guests, witness):
                    guest.url = staying_one.url
                await lose(leaving, [*guests, witness], by_kill=number == 1)
                await all_in([*guests, witness])
                await guests[0].say(f"after {number + 1}")
                leaving.start()
                await asyncio.to_thread(leaving.wait_ready)
            await eventually(lambda: len(witness.texts) == 3, what="every message")
            assert sorted(witness.came_and_went()) == ["Ana", "Ben"]
            assert [guest.faults for guest in (*guests, witness)] == [[], [], []]
            assert sorted(await users(gateways[0].url, session["id"], token=host)) == ["Ana", "Ben", "Witness"]
            await eventually(lambda: time.time() > ended_at, what="the end of the first tokens")
            for token in first_tokens:
                async with connected(gateways[0].url, session["id"]) as late:
                    await late.say({"type": "join", "token": token})
                    assert (await late.event_of("error"))["data"]["message"] == "the token has expired"
