"""One Chromium for all browser tests of a process, and pages that complain of nothing."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.browser import chromium


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
