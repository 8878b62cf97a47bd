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


async def test_a_limited_request_is_repeated_only_when_that_is_harmless(browser: Browser, scripted_url: str) -> None:
    """After 429 an idempotent call waits and tries again; another call, or one without patience, gets the time."""
    page = await browser.new_page()
    try:
        await page.goto(f"{scripted_url}/client/")
        found = await page.evaluate("""async () => {
          const { Rest } = await import("/client/index.js");
          let asked = [];
          const fetch = async (url, { method, headers }) => {
            asked.push([method, headers.Authorization ?? null]);
            const isRefused = asked.length === 1;
            const body = isRefused ? { error: { code: "rate_limited", message: "no" } } : { success: true, data: {} };
            const status = isRefused ? 429 : 200;
            return new Response(JSON.stringify(body), { status, headers: isRefused ? { "Retry-After": "1" } : {} });
          };
          const outcome = async (call, options) => {
            asked = [];
            const began = performance.now();
            const error = await call(new Rest("", { fetch, ...options })).then(() => null, (problem) => problem);
            const hasWaited = performance.now() - began >= 1000;
            return { asked, hasWaited, error: error && [error.status, error.code, error.retryAfterMs] };
          };
          return Promise.all([
            await outcome((rest) => rest.session("s", { token: "t" })),
            await outcome((rest) => rest.createSession({ name: "n", key: "k" }), { token: "u" }),
            await outcome((rest) => rest.createSession({ name: "n" })),
            await outcome((rest) => rest.users("s"), { patienceMs: 500 }),
          ]);
        }""")
    finally:
        await page.close()
    refused = [429, "rate_limited", 1000]
    assert found == [
        {"asked": [["GET", "Bearer t"]] * 2, "hasWaited": True, "error": None},
        {"asked": [["POST", "Bearer u"]] * 2, "hasWaited": True, "error": None},
        {"asked": [["POST", None]], "hasWaited": False, "error": refused},
        {"asked": [["GET", None]], "hasWaited": False, "error": refused},
    ]


async def test_a_session_that_may_not_be_read_gives_no_reason(browser: Browser, scripted_url: str) -> None:
    """The client asks with its token why a connection failed; that reading needs another token is no answer."""
    page = await browser.new_page()
    try:
        await page.goto(f"{scripted_url}/client/")
        found = await page.evaluate("""async () => {
          const { explain } = await import("/client/refusal.js");
          const ask = (status, code, token) => {
            let sent;
            const fetch = async (_, { headers }) => {
              sent = headers.Authorization ?? null;
              return new Response(JSON.stringify({ error: { code, message: "no" } }), { status });
            };
            return explain("ws://gateway/ws/s", token, fetch).then((refusal) => [sent, refusal?.status ?? null]);
          };
          return [
            await ask(401, "unauthorized", null),
            await ask(403, "forbidden", "t"),
            await ask(404, "session_not_found", "t"),
          ];
        }""")
    finally:
        await page.close()
    assert found == [[None, None], ["Bearer t", None], ["Bearer t", 404]]


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
