"""The page about putting Séance behind another service: its code runs, its proxies' configurations are accepted."""

import asyncio
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cluster.embedded.haproxy import find_haproxy
from gateway.access.claims import Claims
from gateway.access.tokens import Tokens
from tests.gateways import SECRET, Gateway
from tests.raw_client import connected

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs/integrate.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The blocks of code in this language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def code(gateway_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What the page's Python defines, with a gateway of the tests in place of the usual address."""
    shop = Claims(scope="sessions:create", subject="shop")
    monkeypatch.setenv("SEANCE_TOKEN", Tokens(SECRET, 3600).create_access_token(shop))
    defined: dict[str, Any] = {}
    for block in blocks("python"):
        exec(block.replace("http://localhost:8000", gateway_url), defined)  # noqa: S102 - it is our own page
    yield defined
    defined["api"].close()


async def test_service(code: dict[str, Any], gateways: list[Gateway]) -> None:
    """An order has one session; what the service says there is said once, by the spirit; then everyone is sent away."""
    session = await asyncio.to_thread(code["open_session"], "42")
    assert (await asyncio.to_thread(code["open_session"], "42"))["id"] == session["id"]
    async with connected(gateways[1].url, session["id"]) as ana:
        await ana.join("Ana")
        seqs = [await asyncio.to_thread(code["say"], session, "Who is there?", "hello") for _ in range(2)]
        message = await ana.event_of("message_received")
        assert seqs == [message["seq"]] * 2
        said = message["data"]
        assert (said["text"], said["user_name"], said["is_spirit"]) == ("Who is there?", "Oracle", True)
        await asyncio.to_thread(code["close"], session)
        await ana.event_of("session_closed")


async def test_listener(code: dict[str, Any], gateways: list[Gateway]) -> None:
    """The spirit answers what people say, and not itself, until the session is closed."""

    async def answer(text: str) -> str:
        return text.upper()

    listen: Callable[..., Any] = code["listen"]
    session = await asyncio.to_thread(code["open_session"], "43")
    async with connected(gateways[0].url, session["id"]) as ana:
        await ana.join("Ana")
        task = asyncio.create_task(listen(gateways[1].url, session, answer), name="listener")
        await ana.event_of("user_joined")
        for number in range(2):
            await ana.say({"type": "message", "text": f"hello {number}"})
            assert (await ana.event_of("message_received"))["data"]["text"] == f"hello {number}"
            assert (await ana.event_of("message_received"))["data"]["text"] == f"HELLO {number}"
        await asyncio.to_thread(code["close"], session)
        await asyncio.wait_for(task, 10)


def test_errors(code: dict[str, Any]) -> None:
    """Where nothing was made, the service hears so."""
    stranger = {"id": "5e2dd69b-6a0c-4b4e-9d4b-0c1f4a2f7f11", "host_token": "nonsense"}
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        code["close"](stranger)


def test_haproxy(tmp_path: Path) -> None:
    """HAProxy accepts the configuration without a warning."""
    [block] = blocks("haproxy")
    configuration = tmp_path / "haproxy.cfg"
    configuration.write_text(block, encoding="utf-8")
    haproxy = find_haproxy()
    assert haproxy is not None
    checked = subprocess.run([haproxy, "-c", "-f", configuration], check=False, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    assert "[WARNING]" not in checked.stderr
