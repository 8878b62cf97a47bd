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

from gateway.access.claims import Claims
from gateway.access.tokens import Tokens
from tests.clients.following import messages, next_of
from tests.forked import run
from tests.gateways import SECRET, Gateway, inherited, running_gateways
from tests.rest import call, create_session, users
from tests.services import Services
from tests.terminal import Terminal
from tests.typist import Key, Typist, at_a_terminal
from tests.waiting import eventually

_DEADLINE_SECONDS = 60


def chat(*arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
    """The command with this as its input, once it has ended."""
    return run(("chat", *arguments), environment=inherited(), folder=Path.cwd(), timeout=_DEADLINE_SECONDS, said=said)


async def said_in(session: dict[str, Any], url: str) -> list[str]:
    """The texts of the session's history."""
    answer = await call(url, "GET", f"/api/sessions/{session['id']}/messages?limit=200")
    return [item["text"] for item in answer.json()["data"]["items"]]


async def test_every_line_of_a_pipe_becomes_a_message(gateways: list[Gateway]) -> None:
    """The messages are in order; the command leaves at the end of the input, when all messages have arrived."""
    session = await create_session(gateways[0].url)
    async with Client(gateways[1].url, session["id"], name="Ana") as ana:
        lines = [f"line {number}" for number in range(150)]
        work = partial(chat, session["id"], "--url", gateways[0].url, "--name", "Pipe", said="\n".join(lines))
        done = await asyncio.to_thread(work)
        assert done.returncode == 0, done.stderr
        assert await messages(ana, 150) == lines
        assert (await next_of(ana, UserLeft)).reason == "left"
    assert "* you are Pipe in “test”; 2 here: Ana, Pipe" in done.stderr


async def test_messages_of_others_are_printed_to_a_pipe(gateways: list[Gateway]) -> None:
    """Each message is printed as it comes, harmless for a terminal; a URL may hold the session's id."""
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


def test_create_prints_the_id_of_the_new_session(gateway_url: str) -> None:
    """`--create` prints the id of a new session, and sends its input to that session."""
    password = "open sesame"
    done = chat("--url", gateway_url, "--create", "Evening", "--password", password, "--name", "Ana", said="first\n")
    assert done.returncode == 0, done.stderr
    session_id = done.stdout.splitlines()[0]
    assert str(uuid.UUID(session_id)) == session_id
    refused = chat(session_id, "--url", gateway_url, "--name", "Ben")
    assert refused.returncode == 1
    assert "needs a password; is --password or --token right?" in refused.stderr


def test_create_with_a_token_joins_as_host(services: Services, tmp_path: Path) -> None:
    """Where tokens are needed, a token that only creates is enough: the new session's host token admits."""
    token = Tokens(SECRET, 3600).create_access_token(Claims(scope="sessions:create"))
    with running_gateways(services, tmp_path, auth_mode="token") as [gateway]:
        refused = chat("--url", gateway.url, "--create", "Evening", "--name", "Ana")
        assert (refused.returncode, "no session was made" in refused.stderr) == (1, True), refused.stderr
        done = chat("--url", gateway.url, "--create", "Evening", "--token", token, "--name", "Ana", said="first\n")
        assert done.returncode == 0, done.stderr
        assert "* you are Ana in “Evening”; 1 here: Ana" in done.stderr
        nameless = chat("--url", gateway.url, "--create", "Evening", "--token", token)
        assert (nameless.returncode, "who are you" in nameless.stderr) == (2, True), nameless.stderr


async def test_a_text_that_is_too_long_is_named_and_the_rest_is_sent(gateway_url: str) -> None:
    """The exit code tells that a text was not sent."""
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
def test_a_wrong_command_line_exits_with_2_and_no_server_with_1(
    arguments: tuple[str, ...], code: int, words: str
) -> None:
    """What is wrong with the command line is said, and is exit code 2; what can't be reached is 1."""
    done = chat(*arguments)
    assert (done.returncode, words in done.stderr) == (code, True), done.stderr


def test_without_a_cluster_the_chat_exits_with_3(tmp_path: Path) -> None:
    """Without --url the command looks for the local cluster, and says that none runs."""
    assert chat(str(uuid.UUID(int=1)), "--name", "Ana", "--home", str(tmp_path)).returncode == 3


def test_without_an_answer_the_chat_gives_up_in_time() -> None:
    """When no gateway can be reached the command says so, tries again, and gives up in time."""
    done = chat(f"http://127.0.0.1:1/ws/{uuid.UUID(int=1)}", "--name", "Ana", "--timeout", "1")
    assert done.returncode == 1
    assert "trying again" in done.stderr
    assert "no welcome within 1 s" in done.stderr


async def test_a_message_that_arrives_leaves_the_typed_line_as_it_is(gateways: list[Gateway]) -> None:
    """Events are printed above the line being typed, the cursor keeps its place, and /quit leaves."""
    session = await create_session(gateways[0].url)
    async with at_a_terminal(gateways[0].url, session["id"]) as ana:
        async with Client(gateways[1].url, session["id"], name="Ben") as ben:
            await ana.sees("* Ben joined; 2 here", ">")
            ana.type("hällo wörldd\x7f 漢字" + Key.LEFT)
            await ana.sees("> hällo wörld 漢字")
            column = ana.screen.cursor()
            await ben.send("hi Ana")
            await ana.sees("Ben: hi Ana", "> hällo wörld 漢字")
            assert ana.screen.cursor() == column
            ana.type("!" + Key.ENTER)
            assert await messages(ben, 2) == ["hi Ana", "hällo wörld 漢!字"]
            await ana.sees("Ben: hi Ana", "Ana: hällo wörld 漢!字", ">")
            ana.type("/quit" + Key.ENTER)
            assert (await next_of(ben, UserLeft)).reason == "left"
        assert await ana.exit_code() == 0


async def test_keys_edit_the_line_as_in_a_shell(gateways: list[Gateway]) -> None:
    """Arrows move, Ctrl-A and Ctrl-E go to the ends, Ctrl-W deletes a word, and Backspace a character."""
    session = await create_session(gateways[0].url)
    async with (
        at_a_terminal(gateways[0].url, session["id"]) as ana,
        Client(gateways[1].url, session["id"], name="Ben") as ben,
    ):
        ana.type(
            "one two trhee"
            + Key.LEFT * 2
            + Key.BACKSPACE * 2
            + "hr"
            + Key.RIGHT
            + Key.CTRL_A
            + "zero "
            + Key.CTRL_E
            + " four five"
            + Key.CTRL_W
        )
        await ana.sees("> zero one two three four")
        ana.type(Key.ENTER)
        assert (await next_of(ben, MessageReceived)).text == "zero one two three four"


async def test_the_arrow_up_brings_the_last_messages_back(gateways: list[Gateway]) -> None:
    """Up goes back through the messages, Down forward again, and a message from the history can be edited."""
    session = await create_session(gateways[0].url)
    async with (
        at_a_terminal(gateways[0].url, session["id"]) as ana,
        Client(gateways[1].url, session["id"], name="Ben") as ben,
    ):
        ana.type("first" + Key.ENTER)
        await ana.sees("Ana: first", ">")
        ana.type("second" + Key.ENTER)
        await ana.sees("Ana: second", ">")
        ana.type(Key.UP + Key.UP)
        await ana.sees("> first")
        ana.type(Key.DOWN)
        await ana.sees("> second")
        ana.type(" time" + Key.ENTER)
        assert await messages(ben, 3) == ["first", "second", "second time"]


async def test_a_pasted_text_of_several_lines_is_one_message(gateways: list[Gateway]) -> None:
    """A paste waits for Enter, keeps its line breaks, and is sent as one message."""
    session = await create_session(gateways[0].url)
    async with (
        at_a_terminal(gateways[0].url, session["id"]) as ana,
        Client(gateways[1].url, session["id"], name="Ben") as ben,
    ):
        ana.type(f"look: {Key.PASTE_BEGINS}one\rtwo\r\nthree{Key.PASTE_ENDS}")
        await ana.sees("> look: one", "two", "three")
        await ben.send("I wait")
        await ana.sees("Ben: I wait", "> look: one", "two", "three")
        ana.type(Key.ENTER)
        assert await messages(ben, 2) == ["I wait", "look: one\ntwo\nthree"]
        await ana.sees("Ana: look: one ⏎ two ⏎ three", ">")


async def test_a_byte_that_is_no_utf_8_does_not_end_the_chat(gateways: list[Gateway]) -> None:
    """A wrong byte is sent as the replacement character, and control characters of a paste are not sent."""
    session = await create_session(gateways[0].url)
    async with (
        at_a_terminal(gateways[0].url, session["id"]) as ana,
        Client(gateways[1].url, session["id"], name="Ben") as ben,
    ):
        ana.terminal.type(b"wrong: \xff\r")
        ana.type(f"{Key.PASTE_BEGINS}clear\x1b[2J{Key.PASTE_ENDS}{Key.ENTER}")
        assert await messages(ben, 2) == ["wrong: \ufffd", "clear[2J"]


async def test_lines_typed_at_once_are_messages_each(gateways: list[Gateway]) -> None:
    """A terminal without bracketed paste sends line breaks as Enter: every line is a message, and none is lost."""
    session = await create_session(gateways[0].url)
    async with (
        at_a_terminal(gateways[0].url, session["id"]) as ana,
        Client(gateways[1].url, session["id"], name="Ben") as ben,
    ):
        lines = [f"line {number}" for number in range(20)]
        ana.type("".join(f"{line}\r" for line in lines))
        assert await messages(ben, 20) == lines


async def test_control_d_on_an_empty_line_leaves(gateways: list[Gateway]) -> None:
    """Ctrl-D leaves when nothing is typed, after everything that was typed has arrived."""
    session = await create_session(gateways[0].url)
    async with at_a_terminal(gateways[0].url, session["id"]) as ana:
        ana.type("bye" + Key.ENTER + Key.CTRL_D)
        assert await ana.exit_code() == 0

    async def is_said() -> bool:
        return await said_in(session, gateways[0].url) == ["bye"]

    await eventually(is_said, what="the message in the history")


async def test_control_c_leaves_at_once(gateways: list[Gateway]) -> None:
    """Ctrl-C leaves in the middle of a line, and the others see that the user has left."""
    session = await create_session(gateways[0].url)
    async with at_a_terminal(gateways[0].url, session["id"]) as ana:
        async with Client(gateways[1].url, session["id"], name="Ben") as ben:
            ana.type("half a li" + Key.CTRL_C)
            assert (await next_of(ben, UserLeft)).reason == "left"
        assert await ana.exit_code() == 0


async def test_a_terminal_that_closes_leaves_the_session(gateways: list[Gateway]) -> None:
    """When the window is closed, the command ends and the others see that the user has left."""
    session = await create_session(gateways[0].url)
    typist = Typist(session["id"], "--url", gateways[0].url, "--name", "Ana")
    await typist.sees("* you are Ana in “test”; 1 here: Ana", ">")
    async with Client(gateways[1].url, session["id"], name="Ben") as ben:
        os.close(typist.terminal.master)
        assert (await next_of(ben, UserLeft)).reason == "left"
    await typist.exit_code()


async def test_a_closed_session_ends_the_chat(gateways: list[Gateway]) -> None:
    """When the session is closed, the chat says so and ends with exit code 1."""
    session = await create_session(gateways[0].url)
    async with at_a_terminal(gateways[0].url, session["id"]) as ana:
        ana.type("half a li")
        await ana.sees("> half a li")
        await call(gateways[0].url, "DELETE", f"/api/sessions/{session['id']}", token=session["host_token"])
        assert await ana.exit_code() == 1
        lines = ana.screen.lines()
        assert "* the session is closed" in lines
        assert lines[-1].startswith("* it is over")


async def test_without_prompt_toolkit_the_chat_says_what_to_install(tmp_path: Path, gateway_url: str) -> None:
    """On a terminal the chat needs the extra `cluster`; without the package, the command names the remedy."""
    (tmp_path / "prompt_toolkit.py").write_text("raise ModuleNotFoundError('blocked', name='prompt_toolkit')")
    session = await create_session(gateway_url)
    terminal = Terminal(
        {**inherited(), "PYTHONPATH": str(tmp_path)}, "chat", session["id"], "--url", gateway_url, "--name", "Ana"
    )
    await terminal_shows(terminal, "pip install 'seance[cluster]'")
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
