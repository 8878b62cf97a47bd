"""Pictures of the page with a conversation in it; `SEANCE_SCREENSHOTS=docs/images` keeps them for the documentation."""

import os
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Visit
from tests.browser.visitor import NETWORK, Visitor
from tests.gateways import Gateway
from tests.rest import call

MAX_BYTES = 200_000
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}
DESKTOP = {"viewport": {"width": 1280, "height": 800}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the pictures go."""
    return Path(os.environ.get("SEANCE_SCREENSHOTS", tmp_path)).resolve()


async def shoot(page: Page, path: Path) -> None:
    """Take a picture, small enough for a repository."""
    picture = await page.screenshot(path=path, animations="disabled", caret="hide")
    assert len(picture) < MAX_BYTES


async def spirit_says(host: Visitor, session_id: str, text: str) -> None:
    """The AI participant answers, through the REST API, as a service would."""
    token = await host.page.evaluate("id => JSON.parse(sessionStorage.getItem('seance:host:' + id))", session_id)
    body = {"text": text, "user_name": "Madame Zéphyrine", "is_spirit": True}
    answer = await call(host.url, "POST", f"/api/sessions/{session_id}/messages", token=token, body=body)
    assert answer.status_code == 202, answer.text


async def test_the_pictures_of_the_documentation_can_be_made(
    gateways: list[Gateway], visit: Visit, folder: Path
) -> None:
    """The page in the middle of a conversation: on a desktop, on a phone, and in dark colours."""
    first, second, third = (gateway.url for gateway in gateways)
    ana = await visit(first, **DESKTOP)
    ben = await visit(second, **DESKTOP, color_scheme="dark")
    noor = await visit(third, **PHONE)
    session = await ana.create("The house on Rue Morgue", "Ana", spirit=True)
    await ben.join(session, "Ben")
    await noor.join(session, "Noor")
    await ben.say("The clock in the hall stopped at 3:07 again.")
    await noor.say("Third night in a row. Same minute, too.")
    await ana.say("Then let's ask. Spirit, what happened here at seven past three?")
    await expect(ana.texts).to_have_count(3)
    await spirit_says(ana, session, "A door was closed that should have stayed open. Look behind the wallpaper.")
    await ben.say("Behind the…", "There IS a draught behind the wallpaper.")
    await noor.say("نعم، أشعر به أيضًا")
    await expect(ana.texts).to_have_count(7)
    await ana.say("Nobody touch anything. Who has a torch?")
    for visitor in (ana, ben, noor):
        await expect(visitor.texts).to_have_count(8)
        await expect(visitor.page.locator("#typing")).to_contain_text("The spirit is thinking")
    await noor.page.get_by_label("Message", exact=True).press_sequentially("I'm")
    await expect(ben.page.locator("#typing")).to_contain_text("Noor is typing")
    await shoot(ben.page, folder / "chat-dark.png")
    await shoot(ana.page, folder / "chat-desktop.png")
    noor.allowed = NETWORK
    await noor.context.set_offline(True)
    await noor.say("I'm on my way down, don't start without me")
    await expect(noor.page.locator("#state")).to_contain_text("You are offline · reconnecting")
    await expect(noor.pending).to_have_count(1)
    await shoot(noor.page, folder / "chat-phone.png")
    await noor.context.set_offline(False)
    await expect(noor.texts).to_have_count(9)
    await expect(noor.pending).to_have_count(0)
