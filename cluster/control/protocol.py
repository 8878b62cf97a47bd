"""Talking to a running supervisor: one JSON object per line over loopback TCP, admitted by the token in its record."""

import asyncio
import hmac
import socket
from collections.abc import AsyncIterator, Callable, Iterator

import msgspec

from cluster.state.records import Record
from cluster.state.status import Status

# A sound supervisor answers within milliseconds, on a busy machine within a second or two.
_HEAR_SECONDS = 8.0
_LINE_BYTES = 65_536


class GetStatus(msgspec.Struct, frozen=True, tag="status"):
    """How is everything? Answered by one Done with the status."""

    token: str


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """Drain and stop everything; lines follow until the connection ends with the supervisor."""

    token: str


class Scale(msgspec.Struct, frozen=True, tag="scale"):
    """Run this many gateways and workers; None leaves their number."""

    token: str
    gateways: int | None = None
    workers: int | None = None


class Restart(msgspec.Struct, frozen=True, tag="restart"):
    """Replace the gateways one by one."""

    token: str


Request = GetStatus | Stop | Scale | Restart


class Heard(msgspec.Struct, frozen=True, tag="heard"):
    """The first reply to every request, at once: the supervisor lives."""


class Line(msgspec.Struct, frozen=True, tag="line"):
    """Progress, for people."""

    text: str


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The end of an answer; `problem` is None when all went well."""

    problem: str | None = None
    status: Status | None = None


Reply = Heard | Line | Done

_decode_request = msgspec.json.Decoder(Request).decode
_decode_reply = msgspec.json.Decoder(Reply).decode
_encode = msgspec.json.Encoder().encode


class ControlError(Exception):
    """The supervisor does not answer, or broke off."""


def ask(record: Record, request: Request, timeout_seconds: float) -> Iterator[Reply]:
    """The supervisor's replies, as they come, until it ends the connection. Raises ControlError.

    `timeout_seconds` is the longest silence once it has said that it heard.
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
            # Not one of ours, or it went away; the work it asked for goes on elsewhere.
            pass
        finally:
            writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", 0, limit=_LINE_BYTES)
