"""The page without a mouse, with a screen reader, in little light and on a phone; and how much it loads."""

from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Visit
from tests.browser.visitor import NETWORK, Visitor
from tests.gateways import Gateway

# Enough for text of any size: WCAG 2.2 AA.
LEAST_CONTRAST = 4.5
MAX_PAGE_BYTES = 64_000
SIZES = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 360, "height": 640}}

# Everything that is shown and has text of its own, with its contrast against the colours below it.
CONTRASTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a)];
  const grounds = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const { backgroundColor, backgroundImage } = getComputedStyle(at);
      const stops = backgroundImage.match(/rgba?\\([^)]*\\)/g) ?? [];
      const solid = stops.map(rgba).filter(([, , , a]) => a === 1);
      if (solid.length > 0) return solid;
      const color = rgba(backgroundColor);
      if (color[3] === 1) return [color];
    }
    return [[255, 255, 255, 1]];
  };
  const light = (color) => {
    const [r, g, b] = color.map((part) => (part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const hasText = (one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  const isShown = (one) => one.checkVisibility({ visibilityProperty: true }) && one.getBoundingClientRect().width > 1;
  return [...document.body.querySelectorAll("*")].filter((one) => hasText(one) && isShown(one)).map((one) => {
    const color = rgba(getComputedStyle(one).color);
    const ratios = grounds(one).map((ground) => {
      const [a, b] = [light(over(color, ground)), light(ground.slice(0, 3))];
      return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    });
    return { what: one.textContent.trim().slice(0, 30), ratio: Math.min(...ratios) };
  });
}"""

# What is wrong for somebody who only hears the page, or touches it.
FAULTS = """() => {
  const faults = [];
  const isShown = (one) => one.checkVisibility({ visibilityProperty: true });
  const nameOf = (one) =>
    (one.getAttribute("aria-label") ?? "") + [...(one.labels ?? [])].map((label) => label.textContent).join("") +
    (one.matches("button, a") ? one.textContent : "");
  for (const one of [...document.querySelectorAll("button, a, input, textarea")].filter(isShown)) {
    if (!nameOf(one).trim()) faults.push(`no name: ${one.outerHTML}`);
    const { width, height } = one.getBoundingClientRect();
    if (!one.matches("a:not(.button)") && (width < 24 || height < 24)) faults.push(`too small: ${one.outerHTML}`);
  }
  for (const one of document.querySelectorAll("img:not([alt])")) faults.push(`no alt: ${one.outerHTML}`);
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  if (new Set(ids).size !== ids.length) faults.push("an id stands twice");
  for (const one of document.querySelectorAll("[aria-controls], [aria-describedby], [aria-labelledby], label[for]")) {
    for (const name of ["aria-controls", "aria-describedby", "aria-labelledby", "for"]) {
      const id = one.getAttribute(name);
      if (id !== null && !document.getElementById(id)) faults.push(`${name} leads nowhere: ${id}`);
    }
  }
  if ([...document.querySelectorAll("main")].filter(isShown).length !== 1) faults.push("not one main");
  if ([...document.querySelectorAll("h1")].filter(isShown).length !== 1) faults.push("not one h1");
  if (document.documentElement.scrollWidth > document.documentElement.clientWidth) faults.push("scrolls sideways");
  if (document.documentElement.lang !== "en") faults.push("no language");
  return faults;
}"""


async def check(page: Page) -> None:
    """Names, targets, landmarks and contrast of what is shown."""
    assert await page.evaluate(FAULTS) == []
    found: list[dict[str, Any]] = await page.evaluate(CONTRASTS)
    assert found
    assert [one for one in found if one["ratio"] < LEAST_CONTRAST] == []


@pytest.mark.parametrize(("scheme", "size"), [("light", "phone"), ("dark", "desktop")])
async def test_every_control_has_a_name_and_every_text_contrast(
    gateways: list[Gateway], visit: Visit, scheme: str, size: str
) -> None:
    """Every view can be heard, touched and read, in light and dark, on a phone and a desktop."""
    ana = await visit(gateways[0].url, color_scheme=scheme, viewport=SIZES[size], reduced_motion="reduce")
    ben = await visit(gateways[1].url, color_scheme=scheme, viewport=SIZES[size], reduced_motion="reduce")
    ana.allowed = NETWORK
    await ana.page.goto(f"{ana.url}/chat")
    await expect(ana.page.locator("#create")).to_be_visible()
    await check(ana.page)
    session = await ana.create("An evening with a long name that has to fit somewhere", "Ana", spirit=True)
    await ben.open(session)
    await ben.knock("ana")
    await expect(ben.alert).to_be_visible()
    await check(ben.page)
    await ben.knock("Ben")
    await ben.is_connected()
    await ben.say("hello")
    await ana.say("good evening")
    await expect(ana.texts).to_have_count(2)
    await check(ben.page)
    if size == "phone":
        people = ana.page.get_by_role("button", name="People")
        await people.click()
        await expect(people).to_have_attribute("aria-expanded", "true")
    await expect(ana.page.get_by_role("button", name="Remove Ben")).to_be_visible()
    await check(ana.page)
    await ana.context.set_offline(True)
    await expect(ana.state).to_have_text("You are offline")
    await ana.say("not yet")
    await expect(ana.pending).to_have_count(1)
    await check(ana.page)


async def test_the_keyboard_alone_reaches_everything(gateways: list[Gateway], visit: Visit) -> None:
    """Without a mouse a person starts a session, talks, manages people and leaves; the focus moves along."""
    ana, ben = await visit(gateways[0].url), await visit(gateways[1].url)
    keys = ana.page.keyboard
    await ana.page.goto(f"{ana.url}/chat")
    await expect(ana.page.locator("#create")).to_be_visible()
    await tab_to(ana, "What is it about?")
    await keys.type("By keyboard")
    await keys.press("Tab")
    await keys.type("Ana")
    await keys.press("Enter")
    await ana.is_connected()
    await expect(ana.page.get_by_label("Message", exact=True)).to_be_focused()
    await keys.type("hello")
    await keys.press("Enter")
    await ana.sees("hello")
    await expect(ana.page.get_by_label("Message", exact=True)).to_be_focused()
    await ben.join(ana.page.url.partition("#")[2], "Ben")
    await expect(ana.page.get_by_role("button", name="Remove Ben")).to_be_visible()
    await tab_to(ana, "Remove Ben")
    await keys.press("Enter")
    await expect(ana.page.get_by_role("dialog", name="Remove Ben?")).to_be_visible()
    await keys.press("Escape")
    await expect(ana.page.get_by_role("dialog")).to_be_hidden()
    await expect(ana.page.get_by_role("button", name="Remove Ben")).to_be_focused()
    await tab_to(ana, "Close the session")
    await keys.press("Enter")
    await expect(ana.page.get_by_role("dialog", name="Close the session?")).to_be_visible()
    await keys.press("Tab")
    await expect(ana.page.get_by_role("button", name="Close it")).to_be_focused()
    await keys.press("Enter")
    await expect(ana.over).to_have_text("This session is closed.")
    await expect(ana.page.get_by_role("link", name="Start another session")).to_be_focused()
    await keys.press("Enter")
    await expect(ana.page.locator("#create")).to_be_visible()


async def tab_to(visitor: Visitor, name: str) -> None:
    """Press Tab until the control of this name has the focus, and a ring to show it."""
    described = """() => {
      const one = document.activeElement;
      const ring = getComputedStyle(one).outlineStyle !== "none" && parseFloat(getComputedStyle(one).outlineWidth) >= 2;
      return [(one.getAttribute("aria-label") ?? one.labels?.[0]?.innerText ?? one.innerText).trim(), ring];
    }"""
    for _ in range(40):
        await visitor.page.keyboard.press("Tab")
        found, has_ring = await visitor.page.evaluate(described)
        if found == name:
            assert has_ring
            return
    raise AssertionError(f"Tab never comes to {name!r}")


async def test_a_screen_reader_finds_the_roles(gateways: list[Gateway], visit: Visit) -> None:
    """The conversation is a log, the state of the connection a status, the roster named; history is not announced."""
    ana = await visit(gateways[0].url)
    await ana.create("An evening", "Ana")
    await expect(ana.page.get_by_role("log", name="Conversation")).to_have_attribute("aria-live", "polite")
    await expect(ana.page.get_by_role("complementary", name="People")).to_be_visible()
    await expect(ana.page.get_by_role("status")).to_have_text("Connected")
    await expect(ana.page.get_by_role("heading", level=1)).to_have_text("An evening")
    await expect(ana.page.locator("#pending")).to_have_attribute("aria-live", "off")


async def test_on_a_phone_the_people_never_cover_the_composer_or_the_end(gateways: list[Gateway], visit: Visit) -> None:
    """On a phone the list of people opens from below and Escape closes it; composer and end stay in view."""
    ana = await visit(gateways[0].url, viewport=SIZES["phone"], is_mobile=True, has_touch=True)
    await ana.create("An evening", "Ana")
    roster = ana.page.get_by_role("complementary", name="People")
    await expect(roster).to_be_hidden()
    people = ana.page.get_by_role("button", name="People")
    await people.tap()
    await expect(roster).to_be_visible()
    # Wherever the focus is: a button that is disabled loses the focus.
    await ana.page.evaluate("document.activeElement.blur()")
    await ana.page.keyboard.press("Escape")
    await expect(roster).to_be_hidden()
    await expect(people).to_be_focused()
    for number in range(12):
        await ana.say(f"line {number}")
    await expect(ana.texts).to_have_count(12)
    await expect(ana.texts.last).to_be_in_viewport()
    await expect(ana.page.get_by_role("button", name="Send")).to_be_in_viewport(ratio=1)
    # The end of the session is not covered by the people, from where the host closed the session.
    await people.tap()
    await ana.page.get_by_role("button", name="Close the session").tap()
    await ana.page.get_by_role("button", name="Close it").tap()
    await expect(roster).to_be_hidden()
    await expect(ana.over).to_be_in_viewport(ratio=1)


async def test_the_page_loads_little_and_nothing_twice(gateways: list[Gateway], visit: Visit) -> None:
    """Everything that the page loads is below 64 kB, comes from one place, and is not sent again the next time."""
    ana = await visit(gateways[0].url)
    await ana.page.goto(f"{ana.url}/chat")
    await expect(ana.page.locator("#create")).to_be_visible()
    weigh = "performance.getEntries().filter((one) => one.transferSize).map((one) => one.transferSize)"
    sizes: list[int] = await ana.page.evaluate(weigh)
    assert len(sizes) > 20
    assert sum(sizes) < MAX_PAGE_BYTES
    await ana.page.reload()
    await expect(ana.page.locator("#create")).to_be_visible()
    again: list[int] = await ana.page.evaluate(weigh)
    assert sum(again) < sum(sizes) / 2
