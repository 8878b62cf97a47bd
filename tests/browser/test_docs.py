"""The documentation pages in a real browser: they show everything, and send requests to the gateway only."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, Error, Page, expect

Json = dict[str, Any]


async def loaded(url: str) -> Json:
    """A document of the gateway."""
    async with httpx.AsyncClient() as client:
        document: Json = (await client.get(url)).json()
    return document


@asynccontextmanager
async def opened(browser: Browser, url: str, path: str, **context: Any) -> AsyncIterator[Page]:
    """The page; at the end the browser has reported no problem, and the page asked only its own gateway."""
    async with await browser.new_context(**context) as visit:
        page = await visit.new_page()
        asked: list[str] = []
        complaints: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(url + path)
        yield page
        assert complaints == []
        assert [one for one in asked if not one.startswith((f"{url}/", "data:"))] == []


async def test_the_front_page_leads_to_chat_rest_and_websocket(browser: Browser, gateway_url: str) -> None:
    """The front page links to the chat, to REST and to WebSocket."""
    async with opened(browser, gateway_url, "/") as page:
        await page.get_by_role("heading", name="Chat").click()
        await expect(page).to_have_url(f"{gateway_url}/chat")
        await page.go_back()
        await page.get_by_role("heading", name="REST").click()
        await expect(page).to_have_url(f"{gateway_url}/docs/rest")
        await page.go_back()
        await page.get_by_role("heading", name="WebSocket").click()
        await expect(page.locator("#commands")).to_be_visible()


async def test_every_rest_operation_is_shown_and_can_be_tried(browser: Browser, gateway_url: str) -> None:
    """The page shows every operation, and a reader can send a request from the page."""
    document = await loaded(f"{gateway_url}/openapi.json")
    async with opened(browser, gateway_url, "/docs/rest") as page:
        count = sum(len(methods) for methods in document["paths"].values())
        await expect(page.locator(".opblock")).to_have_count(count)
        live = page.locator("#operations-health-health_live")
        await live.click()
        await live.get_by_role("button", name="Try it out").click()
        await live.get_by_role("button", name="Execute").click()
        await expect(live.locator(".live-responses-table tbody .response-col_status")).to_contain_text("200")


@pytest.mark.parametrize("path", ["/docs", "/docs/rest", "/docs/websocket"])
async def test_no_page_makes_markup_from_strings(browser: Browser, gateway_url: str, path: str) -> None:
    """Trusted Types: a script, or an attribute that runs one, can't be written into a page."""
    async with await browser.new_context() as visit:
        page = await visit.new_page()
        await page.goto(gateway_url + path)
        for markup in ("<img src=x onerror=alert(1)>", "<script>alert(1)</script>"):
            written = "(markup) => { document.body.innerHTML = markup; }"
            with pytest.raises(Error, match=r"TrustedHTML|formatted text only"):
                await page.evaluate(written, markup)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_websocket_message_error_and_close_is_shown(
    browser: Browser, gateway_url: str, scheme: str
) -> None:
    """The page shows every message with its summary and examples, every error and every close."""
    document = await loaded(f"{gateway_url}/asyncapi.json")
    channel = document["channels"]["session"]
    async with opened(browser, gateway_url, "/docs/websocket", color_scheme=scheme) as page:
        await expect(page.locator("#reference")).to_have_attribute("aria-busy", "false")
        for name, message in document["components"]["messages"].items():
            article = page.locator(f"article#{name}")
            await expect(article).to_contain_text(message["summary"].replace("`", ""))
            await expect(article.locator("pre")).to_have_count(len(message["examples"]))
        text = await page.locator("#reference").inner_text()
        for code in (*channel["x-errors"], *channel["x-closes"]):
            assert str(code["code"]) in text
        assert "undefined" not in text
        await page.get_by_role("navigation").get_by_role("link", name="user_left").click()
        await expect(page.locator("article#user_left")).to_be_in_viewport()


async def test_the_websocket_page_fits_on_a_phone(browser: Browser, gateway_url: str) -> None:
    """Nothing is wider than a phone. Tables scroll by themselves."""
    async with opened(browser, gateway_url, "/docs/websocket", viewport={"width": 360, "height": 740}) as page:
        await expect(page.locator("#reference")).to_have_attribute("aria-busy", "false")
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360
