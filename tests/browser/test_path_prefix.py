"""The pages below a path of a reverse proxy, which serves other things at all other paths."""

from pathlib import Path

from playwright.async_api import Browser, expect

from tests.browser.conftest import Visit
from tests.browser.test_docs import opened
from tests.prefix import below_a_path


async def test_a_conversation_stays_below_the_path(gateway_url: str, visit: Visit, tmp_path: Path) -> None:
    """From the start of a session to the end, no request and no address leads out of the path."""
    async with below_a_path(gateway_url, tmp_path) as url:
        ana, ben = await visit(url), await visit(url)
        session = await ana.create("An evening", "Ana")
        await expect(ana.page).to_have_url(f"{url}/chat#{session}")
        await ben.join(session, "Ben")
        await ana.say("hello")
        await ben.sees("hello")
        await ben.page.reload()
        await ben.sees("hello")
        await ben.page.get_by_role("button", name="Leave").click()
        await expect(ben.page.locator("#create")).to_be_visible()
        await expect(ben.page).to_have_url(f"{url}/chat")
        asked = [*ana.requests, *ben.requests]
        assert [one for one in asked if not one.startswith((f"{url}/", url.replace("http", "ws", 1)))] == []


async def test_an_operation_is_tried_out_below_the_path(gateway_url: str, browser: Browser, tmp_path: Path) -> None:
    """Swagger UI sends its request to the gateway and not to the root of the proxy."""
    async with below_a_path(gateway_url, tmp_path) as url, opened(browser, url, "/docs/rest") as page:
        live = page.locator("#operations-health-health_live")
        await live.click()
        await live.get_by_role("button", name="Try it out").click()
        await live.get_by_role("button", name="Execute").click()
        await expect(live.locator(".live-responses-table tbody .response-col_status")).to_contain_text("200")
        await page.goto(f"{url}/docs/websocket")
        await expect(page.locator("#reference")).to_have_attribute("aria-busy", "false")
