"""The protocol between commands and the supervisor: JSON lines over loopback TCP, with the token of the record."""

import asyncio
import hmac
import socket
from collections.abc import AsyncIterator, Callable, Iterator

import msgspec

from broker.secrecy import concealed
from cluster.state.records import Record
from cluster.state.status import Status

# A healthy supervisor answers within milliseconds, or within two seconds on a busy machine.
_HEAR_SECONDS = 8.0
_LINE_BYTES = 65_536


class GetStatus(msgspec.Struct, frozen=True, tag="status"):
    """Ask for the status; the only reply is a Done with the status."""

    token: str

    def __repr__(self) -> str:
        return concealed(self, "token")


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """Drain and stop everything; lines follow until the connection ends with the supervisor."""

    token: str

    def __repr__(self) -> str:
        return concealed(self, "token")


class Scale(msgspec.Struct, frozen=True, tag="scale"):
    """Run this many gateways and workers; None leaves the number as it is."""

    token: str
    gateways: int | None = None
    workers: int | None = None

    def __repr__(self) -> str:
        return concealed(self, "token")


class Restart(msgspec.Struct, frozen=True, tag="restart"):
    """Replace the gateways one by one."""

    token: str

    def __repr__(self) -> str:
        return concealed(self, "token")


Request = GetStatus | Stop | Scale | Restart


class Heard(msgspec.Struct, frozen=True, tag="heard"):
    """The first reply to every request, sent at once to show that the supervisor is alive."""


class Line(msgspec.Struct, frozen=True, tag="line"):
    """A line of progress, for people."""

    text: str


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The last reply; `problem` is None when the request succeeded."""

    problem: str | None = None
    status: Status | None = None


Reply = Heard | Line | Done

_decode_request = msgspec.json.Decoder(Request).decode
_decode_reply = msgspec.json.Decoder(Reply).decode
_encode = msgspec.json.Encoder().encode


class ControlError(Exception):
    """The supervisor does not answer, or ended the connection early."""


def ask(record: Record, request: Request, timeout_seconds: float) -> Iterator[Reply]:
    """The supervisor's replies, as they come, until it ends the connection. Raises ControlError.

    `timeout_seconds` is the longest silence after the first reply.
    """
    try:
        with socket.create_connection(("127.0.0.1", record.control_port), _HEAR_SECONDS) as connection:
            connection.sendall(_encode(request) + b"\n")
            with connection.makefile("rb") as lines:
                for line in lines:
                    connection.settimeout(timeout_seconds)
                    yield _decode_reply(line)
    except (OSError, msgspec.DecodeError) as error:
        raise ControlError(f"the cluster's supervisor does not answer: {error}") from error


Handler = Callable[[Request], AsyncIterator[Reply]]


async def serve(token: str, handle: Handler) -> asyncio.Server:
    """Answer requests that carry the token with what `handle` yields; the port is in the server's socket."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = _decode_request(await reader.readline())
            if hmac.compare_digest(request.token.encode(), token.encode()):
                writer.write(_encode(Heard()) + b"\n")
                async for reply in handle(request):
                    writer.write(_encode(reply) + b"\n")
                    await writer.drain()
        except (OSError, ValueError, msgspec.DecodeError):
            # The peer is no command of ours, or went away. The change that it asked for is a task and goes on.
            pass
        finally:
            writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", 0, limit=_LINE_BYTES)
