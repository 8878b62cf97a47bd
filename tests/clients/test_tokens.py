"""The Python client where a token is needed: tokens of an application, renewed while connected and while away."""

import itertools
from pathlib import Path

import pytest
from seance_client import Client, Connected, Disconnected, RemovedError, TokenRenewed, UnauthorizedError
from seance_client.rest import Rest, RestError

from gateway.access.claims import Claims
from gateway.access.tokens import Tokens
from tests.clients.following import QUICK, next_of, until_end
from tests.gateways import SECRET, running_gateways
from tests.services import Services

TOKENS = Tokens(SECRET, 3600)
CREATE = TOKENS.create_access_token(Claims(scope="sessions:create", subject="shop"))


async def test_a_user_outlives_the_tokens_of_the_application(services: Services, tmp_path: Path) -> None:
    """Tokens of 2 s, a restarted gateway, and an absence longer than a token: the same user in the same seat."""
    given = itertools.count(1)
    with running_gateways(services, tmp_path, 2, auth_mode="token") as [first, second]:
        async with Rest(second.url, token=CREATE) as rest:
            session = await rest.create_session("evening", spirit=False)
        claims = Claims(scope="sessions:join", session_id=session.id, subject="person-17", name="Ana")

        async def get_token() -> str:
            next(given)
            return TOKENS.create_access_token(claims, expires_seconds=2)

        ana = Client([first.url, second.url], session.id, get_token=get_token, policy=QUICK)
        user = (await ana.connect()).you
        for _ in range(2):
            await next_of(ana, TokenRenewed)
        first.stop()
        assert (await next_of(ana, Disconnected)).will_retry
        assert (await next_of(ana, Connected)).welcome.you == user
        await next_of(ana, TokenRenewed)
        await ana.send("still here")
        async with Rest(second.url) as rest:
            assert (await rest.users(session.id, token=ana.token)).user_count == 1
            with pytest.raises(RestError, match="unauthorized"):
                await rest.users(session.id)
        await ana.leave()
    assert next(given) >= 4


async def test_without_a_provider_the_end_is_told(services: Services, tmp_path: Path) -> None:
    """A token of an application that nobody renews ends the connection, with an error that says so."""
    with running_gateways(services, tmp_path, auth_mode="token") as [gateway]:
        async with Rest(gateway.url, token=CREATE) as rest:
            session = await rest.create_session("evening", spirit=False)
            claims = Claims(scope="sessions:join", session_id=session.id, name="Ana")
            ana = Client(gateway.url, session.id, token=TOKENS.create_access_token(claims, expires_seconds=1))
            await ana.connect()
            with pytest.raises(UnauthorizedError):
                await until_end(ana)
            await ana.close()


async def test_a_removed_user_stays_out(services: Services, tmp_path: Path) -> None:
    """The end after a removal is final, and so is the answer to another join by that name."""
    with running_gateways(services, tmp_path) as [gateway]:
        async with Rest(gateway.url) as rest:
            session = await rest.create_session("evening", spirit=False)
            ana = Client(gateway.url, session.id, name="Ana", policy=QUICK)
            user_id = (await ana.connect()).you.id
            assert user_id is not None
            await rest.remove_user(session.id, user_id, token=session.host_token)
            with pytest.raises(RemovedError):
                await until_end(ana)
            await ana.close()
            with pytest.raises(RemovedError):
                await Client(gateway.url, session.id, name="ana", policy=QUICK).connect()
