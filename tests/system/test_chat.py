"""`seance chat`, by pipes and on a pseudo-terminal, against real gateways."""

import asyncio
import os
import subprocess
import sys
import uuid
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from seance_client import Client, MessageReceived, UserLeft

from tests.clients.following import messages, next_of
from tests.gateways import Gateway, inherited
from tests.rest import call, create_session, eventually, users
from tests.terminal import Terminal

_DEADLINE_SECONDS = 60


def chat(*arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
    """The command with this as its input, once it has ended."""
    return subprocess.run(
        [sys.executable, "-m", "cluster", "chat", *arguments],
        env=inherited(),
        input=said,
        capture_output=True,
        text=True,
        timeout=_DEADLINE_SECONDS,
        check=False,
    )


async def said_in(session: dict[str, Any], url: str) -> list[str]:
    """The texts of the session's history."""
    answer = await call(url, "GET", f"/api/sessions/{session['id']}/messages?limit=200")
    return [item["text"] for item in answer.json()["data"]["items"]]


async def test_lines_of_a_pipe_are_said(gateways: list[Gateway]) -> None:
    """Every line becomes a message, in order; it leaves at the end of the input, when all has arrived."""
    session = await create_session(gateways[0].url)
    async with Client(gateways[1].url, session["id"], name="Ana") as ana:
        lines = [f"line {number}" for number in range(150)]
        work = partial(chat, session["id"], "--url", gateways[0].url, "--name", "Pipe", said="\n".join(lines))
        done = await asyncio.to_thread(work)
        assert done.returncode == 0, done.stderr
        assert await messages(ana, 150) == lines
        assert (await next_of(ana, UserLeft)).reason == "left"
    assert "* you are Pipe in “test”; 2 here: Ana, Pipe" in done.stderr


async def test_events_go_to_a_pipe(gateways: list[Gateway]) -> None:
    """What others say is printed as it comes, harmless for a terminal; a URL may hold the session's id."""
    session = await create_session(gateways[0].url)
    command = [sys.executable, "-m", "cluster", "chat", f"{gateways[1].url}/ws/{session['id']}", "--name", "Pipe"]
    process = await asyncio.create_subprocess_exec(*command, env=inherited(), stdin=-1, stdout=-1, stderr=-1)
    assert process.stdin is not None
    assert process.stdout is not None
    async with asyncio.timeout(_DEADLINE_SECONDS):
        await eventually(partial(is_there, gateways[0].url, session["id"], "Pipe"))
        async with Client(gateways[0].url, session["id"], name="Ana") as ana:
            await ana.send("hi\x1b[2J\nthere \u202ereversed")
            assert await process.stdout.readline() == b"* Ana joined; 2 here\n"
            assert (await process.stdout.readline()).decode() == "Ana: hi\ufffd[2J ⏎ there \ufffdreversed\n"
        assert await process.stdout.readline() == b"* Ana left; 1 here\n"
        process.stdin.close()
        assert await process.wait() == 0


def test_makes_a_session(gateway_url: str) -> None:
    """`--create` prints the id of a new session, and says there what it reads."""
    password = "open sesame"
    done = chat("--url", gateway_url, "--create", "Evening", "--password", password, "--name", "Ana", said="first\n")
    assert done.returncode == 0, done.stderr
    session_id = done.stdout.splitlines()[0]
    assert str(uuid.UUID(session_id)) == session_id
    refused = chat(session_id, "--url", gateway_url, "--name", "Ben")
    assert refused.returncode == 1
    assert "needs a password; is --password or --token right?" in refused.stderr


async def test_a_text_that_is_too_long(gateway_url: str) -> None:
    """What can't be said is named, the rest is said all the same, and the exit code tells."""
    session = await create_session(gateway_url)
    lines = f"{'x' * 501}\nfine\n"
    done = await asyncio.to_thread(chat, session["id"], "--url", gateway_url, "--name", "Ana", said=lines)
    assert done.returncode == 1
    assert "not sent: xxx" in done.stderr

    async def is_said() -> bool:
        return await said_in(session, gateway_url) == ["fine"]

    await eventually(is_said)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--name", "Ana"), 2, "say which session"),
        (("no-id", "--name", "Ana"), 2, "neither a session's id"),
        (("http://one/ws", "--url", "http://two", "--name", "Ana"), 2, "two URLs"),
        ((str(uuid.UUID(int=1)), "--url", "http://one"), 2, "who are you"),
        ((str(uuid.UUID(int=1)), "--url", "nonsense", "--name", "Ana"), 2, "no address"),
        (("http://127.0.0.1:1", "--create", "x", "--name", "Ana"), 1, "no session was made"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], code: int, words: str) -> None:
    """What is wrong with the command line is said, and is exit code 2; what can't be reached is 1."""
    done = chat(*arguments)
    assert (done.returncode, words in done.stderr) == (code, True), done.stderr


def test_without_a_cluster(tmp_path: Path) -> None:
    """Without --url it looks for the local cluster, and 3 says that none runs."""
    assert chat(str(uuid.UUID(int=1)), "--name", "Ana", "--home", str(tmp_path)).returncode == 3


def test_nobody_answers() -> None:
    """When no gateway can be reached it says so, tries again, and gives up in time."""
    done = chat(f"http://127.0.0.1:1/ws/{uuid.UUID(int=1)}", "--name", "Ana", "--timeout", "1")
    assert done.returncode == 1
    assert "trying again" in done.stderr
    assert "no welcome within 1 s" in done.stderr


async def test_on_a_terminal(gateways: list[Gateway]) -> None:
    """Events are printed above the line being typed, which stays; /quit leaves."""
    session = await create_session(gateways[0].url)
    terminal = Terminal(inherited(), "chat", session["id"], "--url", gateways[0].url, "--name", "Ana")
    await terminal_shows(terminal, "you are Ana")
    async with Client(gateways[1].url, session["id"], name="Ben") as ben:
        terminal.type("hällo wörldd\x7f".encode())
        await terminal_shows(terminal, "hällo wörld")
        await ben.send("hi Ana")
        await terminal_shows(terminal, "Ben: hi Ana\r\n\r\x1b[K> hällo wörld")
        terminal.type(b"!\r")
        assert (await next_of(ben, MessageReceived)).text == "hi Ana"
        assert (await next_of(ben, MessageReceived)).text == "hällo wörld!"
        terminal.type(b"/quit\r")
        assert (await next_of(ben, UserLeft)).reason == "left"
    assert await asyncio.to_thread(terminal.process.wait, _DEADLINE_SECONDS) == 0
    os.close(terminal.master)


async def test_interrupted_on_a_terminal(gateways: list[Gateway]) -> None:
    """Ctrl-C leaves at once, so that the others see it."""
    session = await create_session(gateways[0].url)
    terminal = Terminal(inherited(), "chat", f"{gateways[0].url}/ws/{session['id']}", "--name", "Ana")
    await terminal_shows(terminal, "you are Ana")
    async with Client(gateways[1].url, session["id"], name="Ben") as ben:
        terminal.type(b"half a li\x03")
        assert (await next_of(ben, UserLeft)).reason == "left"
    assert await asyncio.to_thread(terminal.process.wait, _DEADLINE_SECONDS) == 0
    os.close(terminal.master)


async def test_closed_session_on_a_terminal(gateways: list[Gateway]) -> None:
    """When the session is closed the chat says so and ends with 1."""
    session = await create_session(gateways[0].url)
    terminal = Terminal(inherited(), "chat", f"{gateways[0].url}/ws/{session['id']}", "--name", "Ana")
    await terminal_shows(terminal, "you are Ana")
    await call(gateways[0].url, "DELETE", f"/api/sessions/{session['id']}", token=session["host_token"])
    await terminal_shows(terminal, "the session is closed")
    assert await asyncio.to_thread(terminal.process.wait, _DEADLINE_SECONDS) == 1
    os.close(terminal.master)


async def terminal_shows(terminal: Terminal, text: str) -> None:
    """Return once this has been written."""

    async def is_shown() -> bool:
        return terminal.shows(text)

    await eventually(is_shown)


async def is_there(url: str, session_id: str, name: str) -> bool:
    """Whether this user is the only one."""
    return await users(url, session_id) == [name]
