"""The README's two programs run as they stand, against real gateways."""

import asyncio
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.gateways import Gateway
from tests.rest import call

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAMS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
SECONDS = 30


@asynccontextmanager
async def running(program: str, url: str, *arguments: str) -> AsyncIterator[Process]:
    """The program in a process of its own, with a gateway of the tests in place of the usual address."""
    source = program.replace("http://localhost:8000", url)
    assert source != program
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", source, *arguments, stdout=PIPE, stderr=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def create_session(url: str) -> str:
    """Run the first program to its end; returns the session's id, which the program prints."""
    async with running(PROGRAMS[0], url) as service:
        printed, complaints = await asyncio.wait_for(service.communicate(), SECONDS)
    assert service.returncode == 0, complaints.decode()
    return printed.decode().strip()


async def test_service(gateways: list[Gateway]) -> None:
    """The service creates a session, and the spirit speaks in that session."""
    session_id = await create_session(gateways[0].url)
    history = await call(gateways[2].url, "GET", f"/api/sessions/{session_id}/messages")
    items = history.json()["data"]["items"]
    assert [(item["user_name"], item["text"]) for item in items if item["is_spirit"]] == [("Spirit", "I am here.")]


async def test_client(gateways: list[Gateway]) -> None:
    """The client joins the service's session on another gateway, says hello, and prints the message."""
    session_id = await create_session(gateways[0].url)
    async with running(PROGRAMS[1], gateways[1].url, session_id) as ana:
        assert ana.stdout is not None
        line = await asyncio.wait_for(ana.stdout.readline(), SECONDS)
        assert line.decode() == "Ana: hello\n"


def test_programs_fit() -> None:
    """The README has two programs, and each fits on a screen."""
    assert [len(program.splitlines()) <= 20 for program in PROGRAMS] == [True, True]
