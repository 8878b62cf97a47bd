"""An attacker's REST requests on one connection, with as little work for each as can be."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final, Self

import msgspec

from tests.attack.line import OverError

_ANSWER_SECONDS: Final = 30.0
_LENGTH: Final = b"\r\ncontent-length:"


class Requests:
    """One connection that is kept alive."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, port: int, source: str) -> AsyncIterator[Self]:
        """A connection from `source`; cut at the end. Raises OverError."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
        except OSError as error:
            raise OverError(f"connect: {type(error).__name__}") from error
        try:
            yield cls(reader, writer)
        finally:
            writer.transport.abort()

    async def post(self, path: str, body: object) -> int:
        """The status of the answer. Raises OverError."""
        payload = msgspec.json.encode(body)
        head = (
            f"POST {path} HTTP/1.1",
            "Host: localhost",
            "Content-Type: application/json",
            f"Content-Length: {len(payload)}",
        )
        self._writer.write("\r\n".join((*head, "", "")).encode() + payload)
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                answer = (await self._reader.readuntil(b"\r\n\r\n")).lower()
                _, _, length = answer.partition(_LENGTH)
                await self._reader.readexactly(int(length.partition(b"\r\n")[0]))
        except (OSError, asyncio.IncompleteReadError) as error:
            raise OverError("cut") from error
        except TimeoutError as error:
            raise OverError("no answer") from error
        return int(answer[9:12])
