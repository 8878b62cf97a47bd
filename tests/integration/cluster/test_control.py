"""Requests to a supervisor and their replies, over real sockets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from cluster.control import protocol
from cluster.control.protocol import ControlError, Done, GetStatus, Heard, Line, Reply, Request
from cluster.state.records import ProcessId, Record
from cluster.state.status import Status


async def echo(_: Request) -> AsyncIterator[Reply]:
    """Answers every request with a line and an end."""
    yield Line("said")
    yield Done(status=Status(url="here"))


def replies(record: Record, token: str) -> Iterator[Reply]:
    """What the supervisor of this record replies to a question after its status."""
    return protocol.ask(record, GetStatus(token), 5)


async def test_only_a_request_with_the_token_is_answered() -> None:
    """A request with the token gets replies, the first of them Heard; without the token the connection ends."""
    server = await protocol.serve("secret", echo)
    record = Record(ProcessId(1, 1), server.sockets[0].getsockname()[1], "secret", is_ready=True)
    assert await asyncio.to_thread(lambda: list(replies(record, "secret"))) == [
        Heard(),
        Line("said"),
        Done(status=Status(url="here")),
    ]
    assert await asyncio.to_thread(lambda: list(replies(record, "guessed"))) == []
    server.close()


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1\r\n", b"{}\n", b"\xff\n", b"x" * 100_000, b""])
async def test_bytes_that_are_no_request_get_no_answer(line: bytes) -> None:
    """Bytes that are no request get the end of the connection, and no answer."""
    server = await protocol.serve("secret", echo)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
    writer.write(line)
    writer.write_eof()
    # A reset instead of an end: it did not read everything.
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()
    server.close()


def test_a_supervisor_that_is_gone_is_an_error() -> None:
    """When nothing listens on the port of the record, the error says that the supervisor does not answer."""
    record = Record(ProcessId(1, 1), 1, "secret", is_ready=True)
    with pytest.raises(ControlError, match="does not answer"):
        list(replies(record, "secret"))
