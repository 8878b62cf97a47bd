"""The browser client in Node, with the runtime's WebSocket and fetch or with those that the application passes in."""

import asyncio
import json
import re
import shutil
from pathlib import Path

import pytest

from tests.gateways import Gateway

VISITOR = Path(__file__).with_name("node_visitor.mjs")
CLIENT = Path(__file__).resolve().parents[2] / "clients/browser/src/index.js"
SECONDS = 30.0
# Node 20 hides its WebSocket behind an option; later versions accept the option too.
OLDEST = (20, 10)


async def run(*arguments: str) -> str:
    """What Node prints. Fails when Node ends with an error."""
    process = await asyncio.create_subprocess_exec(
        "node", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), SECONDS)
    assert process.returncode == 0, err.decode()
    return out.decode()


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node on this machine (Debian: `apt-get install nodejs`)")
async def test_the_browser_client_runs_in_node(gateways: list[Gateway]) -> None:
    """The client takes WebSocket and fetch from the application or from Node, and says in words when one is missing."""
    version = re.findall(r"\d+", await run("--version"))
    if tuple(map(int, version[:2])) < OLDEST:
        pytest.skip(f"Node {'.'.join(version)} has no WebSocket, not even behind an option")
    answer = json.loads(await run("--experimental-websocket", str(VISITOR), CLIENT.as_uri(), gateways[0].url))
    assert "no WebSocket: pass" in answer.pop("withoutWebSocket")
    assert "no fetch: pass" in answer.pop("withoutFetch")
    assert answer == {
        "passedIn": {"name": "Ana", "isAfterTheJoin": True},
        "refused": "SessionNotFoundError",
        "global": {"name": "Ben", "isAfterTheJoin": True},
    }
