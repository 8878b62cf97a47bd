"""Names and texts of any shape that the gateway admits: nothing is pushed out of view, on the narrowest screen too."""

from contextlib import AsyncExitStack

import pytest
from playwright.async_api import Page, expect
from seance_client import Client

from tests.browser.conftest import Visit
from tests.gateways import Gateway

SIZES = {"phone": {"width": 320, "height": 640}, "desktop": {"width": 1280, "height": 800}}
MARKS = "\u0335\u0301\u0323\u0323"
NAMES = {
    "wide": "W" * 50,
    "ligature": "\ufdfd" * 50,
    "emoji": "👩\u200d👩\u200d👧\u200d👦" * 7,
    "marks": ("Z" + MARKS) * 10,
    "right to left": "عبد الرحمن بن عبد الله بن محمد الطويل الاسم"[:50],
    "no spaces": "لا" * 25,
}
TITLES = {"phone": "M" * 70 + "Z\u0301\u0301\u0301\u0301" * 6, "desktop": "\u05d0" * 100}

# What a person can't reach or read: controls that are not on the screen, boxes that are wider than their room, and
# names or texts that paint over their neighbours.
FAULTS = """() => {
  const faults = [];
  const isShown = (one) => one.checkVisibility({ visibilityProperty: true }) && one.getBoundingClientRect().width > 1;
  const isClipped = (one) => {
    const { display, overflowY } = getComputedStyle(one);
    return display !== "inline" && overflowY !== "visible";
  };
  const edge = document.documentElement.clientWidth;
  for (const one of [...document.body.querySelectorAll("*")].filter(isShown)) {
    const { left, right } = one.getBoundingClientRect();
    if (left < -1 || right > edge + 1) faults.push(`out of view: ${one.tagName} ${one.className} ${left} ${right}`);
    if (one.matches("#scroller, #roster, dialog, html, main, header") && one.scrollWidth > one.clientWidth)
      faults.push(`scrolls sideways: ${one.tagName} ${one.id}`);
    const box = one.closest(".notice, h2, #typing") ?? one;
    if (one.matches("bdi, h1, h2, .text, .avatar") && !isClipped(one) && !isClipped(box))
      faults.push(`paints over its neighbours: ${one.tagName} ${one.className}`);
  }
  return faults;
}"""


async def check(page: Page) -> None:
    """Everything that is shown is inside the screen."""
    assert await page.evaluate(FAULTS) == []


@pytest.mark.parametrize("size", SIZES)
async def test_every_name_fits_and_leaves_the_controls_in_view(
    gateways: list[Gateway], visit: Visit, size: str
) -> None:
    """Six people with the names that are hardest to show: the list, dialog, notices, header and door hold them."""
    ana, ben = [await visit(gateway.url, viewport=SIZES[size], reduced_motion="reduce") for gateway in gateways[:2]]
    session = await ana.create(TITLES[size], "Ana", seats=8)
    async with AsyncExitStack() as stack:
        for name in NAMES.values():
            client = await stack.enter_async_context(Client(gateways[1].url, session, name=name))
            await client.send(name * 10)
        await expect(ana.texts).to_have_count(len(NAMES))
        await check(ana.page)
        if size == "phone":
            await ana.page.get_by_role("button", name="People").click()
        removals = ana.page.get_by_role("button", name="Remove")
        await expect(removals).to_have_count(len(NAMES))
        for number in range(len(NAMES)):
            await removals.nth(number).scroll_into_view_if_needed()
            await expect(removals.nth(number)).to_be_in_viewport(ratio=1)
        await check(ana.page)
        for number in range(len(NAMES)):
            await removals.nth(number).click()
            await check(ana.page)
            await expect(ana.page.get_by_role("button", name="Cancel")).to_be_in_viewport(ratio=1)
            await ana.page.get_by_role("button", name="Cancel").click()
    await ben.open(session)
    await expect(ben.page.locator("#door").get_by_label("Your name")).to_be_visible()
    await check(ben.page)
