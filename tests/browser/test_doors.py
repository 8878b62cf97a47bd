"""Who may come in: renewed and ended tokens, passwords tried too often, sessions that strangers may not see.

A real gateway serves the page; the test adds to what the gateway sends, or answers in the gateway's place.
"""

import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Route, WebSocketRoute, expect
from seance_client.rest import Rest

from gateway.access.claims import Claims
from gateway.access.tokens import Tokens
from tests.browser.conftest import Visit
from tests.browser.visitor import NETWORK, Visitor
from tests.gateways import SECRET, Gateway, running_gateways
from tests.services import Services

Json = dict[str, Any]
A_SESSION = re.compile(r"/api/sessions/[^/]+$")
SOCKETS = re.compile(r"/ws/")
RENEWED = "a-renewed-token"
TOKENS = Tokens(SECRET, 3600)


async def after_the_welcome(visitor: Visitor, act: Callable[[WebSocketRoute], Awaitable[None]]) -> None:
    """Call `act` on each connection of the page, once the page has got the welcome of the gateway."""

    def connected(socket: WebSocketRoute) -> None:
        async def passed(frame: str | bytes) -> None:
            socket.send(frame)
            content = json.loads(frame)
            first = content[0] if isinstance(content, list) else content
            if first["type"] == "welcome":
                await act(socket)

        socket.connect_to_server().on_message(passed)

    await visitor.page.route_web_socket(SOCKETS, connected)


def said(kind: str, **data: object) -> str:
    """A frame of a gateway."""
    return json.dumps({"type": kind, "data": data})


async def test_a_renewed_token_is_kept_without_a_word(gateways: list[Gateway], visit: Visit) -> None:
    """The page stores the new token for the next reload, and the person sees nothing of the renewal."""
    ana = await visit(gateways[0].url)

    async def renew(socket: WebSocketRoute) -> None:
        socket.send(said("token_expiring", in_seconds=60))
        socket.send(said("token_renewed", token=RENEWED, expires_in_seconds=3600))

    await after_the_welcome(ana, renew)
    session = await ana.create("An evening", "Ana")
    is_stored = f"id => sessionStorage.getItem(`seance:${{id}}`)?.includes('{RENEWED}')"
    await ana.page.wait_for_function(is_stored, arg=session)
    await expect(ana.state).to_have_text("Connected")
    assert "Your access" not in await ana.page.locator("body").inner_text()


@pytest.mark.parametrize(
    ("ending", "told"),
    [
        (
            (4501, "unauthorized"),
            ("Access ended", "Your access to this session has ended and could not be renewed. Join again to go on."),
        ),
        (
            (4509, "abuse"),
            ("Sent too much", "This page sent too much, so the server ended the connection. Join again in a minute."),
        ),
    ],
)
async def test_an_end_of_the_access_is_told_with_what_to_do(
    gateways: list[Gateway], visit: Visit, ending: tuple[int, str], told: tuple[str, str]
) -> None:
    """A token that has ended, and too much of everything: a sentence, and a button to join again."""
    ana = await visit(gateways[0].url)
    code, name = ending

    async def end(socket: WebSocketRoute) -> None:
        socket.send(said("error", code=name, message="no", retryable=False))
        await socket.close(code=code)

    await after_the_welcome(ana, end)
    form = ana.page.locator("#create")
    await ana.page.goto(f"{ana.url}/chat")
    await form.get_by_label("What is it about?").fill("An evening")
    await form.get_by_label("Your name").fill("Ana")
    await form.get_by_role("button", name="Start the session").click()
    await expect(ana.state).to_have_text(told[0])
    await expect(ana.over).to_have_text(told[1])
    assert await ana.controls() == ["Copy link", "Join again", "Start another session"]


async def test_too_many_passwords_have_to_wait(gateways: list[Gateway], visit: Visit) -> None:
    """The door says for how long, and takes the next password by itself after that time."""
    ana, ben = await visit(gateways[0].url), await visit(gateways[1].url)
    session = await ana.create("Locked", "Ana", password="open sesame")
    attempts: list[str] = []

    def connected(socket: WebSocketRoute) -> None:
        attempts.append(socket.url)
        if len(attempts) > 1:
            socket.connect_to_server()
            return

        async def refuse(_: str | bytes) -> None:
            message = "too many attempts"
            socket.send(said("error", code="rate_limited", message=message, retryable=True, retry_after_ms=1500))
            await socket.close(code=4004)

        socket.on_message(refuse)

    await ben.page.route_web_socket(SOCKETS, connected)
    await ben.open(session)
    await ben.knock("Ben", "open sesame")
    await expect(ben.alert).to_have_text("Too many attempts. Try again in 2 s.")
    button = ben.page.locator("#door button.primary")
    await expect(button).to_have_text(re.compile("^Wait [12] s$"))
    await expect(button).to_be_disabled()
    await expect(button).to_have_text("Join")
    await expect(button).to_be_enabled()
    await expect(ben.alert).to_be_hidden()
    assert len(attempts) == 1
    await ben.knock("Ben", "open sesame")
    await ben.is_connected()


async def test_a_session_that_strangers_may_not_see_asks_first(gateways: list[Gateway], visit: Visit) -> None:
    """The door asks for name and password, and shows the session's name only inside; the history needs the token."""
    ana, ben = await visit(gateways[0].url), await visit(gateways[1].url)
    ben.allowed = NETWORK
    session = await ana.create("A secret evening", "Ana", password="open sesame")

    async def refuse(route: Route) -> None:
        error = {"code": "unauthorized", "message": "this needs a token"}
        await route.fulfill(status=401, json={"success": False, "error": error})

    async def hide(route: Route) -> None:
        answer = await (await route.fetch()).json()
        answer["data"]["name"] = None
        await route.fulfill(json=answer)

    for handler in (refuse, hide):
        await ben.page.unroute(A_SESSION)
        await ben.page.route(A_SESSION, handler)
        await ben.open(session)
        await ben.page.reload()
        await expect(ben.page.get_by_role("heading", level=1)).to_have_text("A session with a password")
        assert await ben.page.title() == "Séance"
        await ben.knock("Ben", "close sesame")
        await expect(ben.alert).to_contain_text("That is not the password of this session")
        await expect(ben.page.locator("#door").get_by_label("Password")).to_be_focused()
    async with ben.page.expect_request("**/messages?*") as asked:
        await ben.knock("Ben", "open sesame")
    assert (await (await asked.value).all_headers())["authorization"].startswith("Bearer ")
    await expect(ben.page.get_by_role("heading", level=1)).to_have_text("A secret evening")


async def test_where_tokens_are_needed_the_page_says_so(services: Services, tmp_path: Path, visit: Visit) -> None:
    """The page has no token: it starts no session there, and joins none, and says in plain words why."""
    with running_gateways(services, tmp_path, auth_mode="token") as [gateway]:
        shop = TOKENS.create_access_token(Claims(scope="sessions:create", subject="shop"))
        async with Rest(gateway.url, token=shop) as rest:
            session = await rest.create_session("An evening")
        ana = await visit(gateway.url)
        ana.allowed = NETWORK
        await ana.page.goto(f"{ana.url}/chat")
        form = ana.page.locator("#create")
        await form.get_by_label("What is it about?").fill("An evening")
        await form.get_by_label("Your name").fill("Ana")
        await form.get_by_role("button", name="Start the session").click()
        alert = form.get_by_role("alert")
        await expect(alert).to_have_text("Only applications with a token may do that on this server.")
        await ana.open(session.id)
        await ana.knock("Ana", "open sesame")
        await expect(ana.alert).to_contain_text("can be joined only from the application that invited you")
