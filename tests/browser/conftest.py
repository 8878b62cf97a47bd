"""One Chromium for all browser tests of a process, and visitors whose pages complain of nothing."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.browser import chromium
from tests.browser.visitor import Visitor

Visit = Callable[..., Awaitable[Visitor]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of them run in one event loop, that of the browser."""
    for item in items:
        if item.path.is_relative_to(chromium.FOLDER):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium, started once."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium.path(), args=list(chromium.ARGUMENTS))
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def visit(browser: Browser) -> AsyncIterator[Visit]:
    """Makes visitors, each with nothing remembered; the test fails when a browser complains."""
    visitors: list[Visitor] = []

    async def arrive(url: str, **options: Any) -> Visitor:
        context = await browser.new_context(locale="en-GB", timezone_id="UTC", **options)
        visitors.append(Visitor(context, await context.new_page(), url))
        return visitors[-1]

    yield arrive
    for visitor in visitors:
        await visitor.context.close()
    assert [visitor.complaints for visitor in visitors] == [[] for _ in visitors]
