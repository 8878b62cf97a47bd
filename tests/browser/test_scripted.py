"""The browser client against the scripted gateway: every script, as the Python client plays them."""

import json
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.clients.scripted.scripts import SCRIPTS
from tests.gateways import inherited

Json = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
PLAYER = Path(__file__).with_name("player.js").read_text(encoding="utf-8")
PARALLEL = 8
DEADLINE_MS = 30_000


@pytest.fixture(scope="module")
def scripted_url() -> Iterator[str]:
    """Where the scripted gateway answers."""
    command = (sys.executable, "-m", "tests.clients.scripted")
    with subprocess.Popen(command, cwd=ROOT, env=inherited(is_measured=False), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
        process.terminate()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def results(browser: Browser, scripted_url: str) -> Json:
    """What came of each script, all of them played in one page, several at a time."""
    page = await browser.new_page()
    try:
        await page.goto(f"{scripted_url}/client/")
        options = {"run": "browser", "parallel": PARALLEL, "deadlineMs": DEADLINE_MS}
        found: Json = await page.evaluate(PLAYER, options)
        return found
    finally:
        await page.close()


@pytest.mark.parametrize("name", SCRIPTS)
async def test_the_client_follows_the_script(results: Json, name: str) -> None:
    """The client does what the script expects, and the gateway reports no problem."""
    assert results[name]["problems"] == []
    assert results[name]["outcome"] == SCRIPTS[name]["expect"]


async def test_the_types_declare_exactly_what_is_exported(browser: Browser, scripted_url: str) -> None:
    """Every name that the module exports has a declaration, and no other value is declared."""
    page = await browser.new_page()
    try:
        await page.goto(f"{scripted_url}/client/")
        exported = await page.evaluate("async () => Object.keys(await import('/client/index.js'))")
    finally:
        await page.close()
    types = (ROOT / "clients/browser/src/index.d.ts").read_text(encoding="utf-8")
    assert sorted(exported) == sorted(re.findall(r"(?m)^export (?:class|function|const) (\w+)", types))


async def test_texts_are_trimmed_and_counted_as_the_gateway_does(browser: Browser, scripted_url: str) -> None:
    """White space as `str.strip` has it, which differs from that of JavaScript, and code points, not UTF-16 units."""
    blank = [chr(point) for point in range(0x3100) if unicodedata.category(chr(point))[0] in "CZ"]
    ends = [*blank, "\ufeff", "\ufffe", "😀"]
    texts = [f"{end}a 😀{end}" for end in ends]
    page = await browser.new_page()
    try:
        await page.goto(f"{scripted_url}/client/")
        measure = """async (texts) => {
          const { lengthOf, trimmed } = await import("/client/index.js");
          return texts.map((text) => [trimmed(text), lengthOf(text)]);
        }"""
        found = await page.evaluate(measure, texts)
    finally:
        await page.close()
    assert found == [[text.strip(), len(text.strip())] for text in texts]
