"""A TCP proxy between two of our processes, with faults to switch on and off: blackhole, reset, half-close, latency."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable
from urllib.parse import urlsplit, urlunsplit

_CHUNK_BYTES = 65_536
_HEAD_BYTES = 4096
_QUEUED_CHUNKS = 64
_DIAL_SECONDS = 10.0

# What ends a connection at once with a RST, instead of a FIN after everything that is unsent.
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class Pair:
    """One connection through the proxy: the client's side and the server's.

    `head` is the first 4 KiB of what the client sent, so that a fault can be meant for one kind of connection: a Redis
    connection tells its name (`CLIENT SETNAME`), an HTTP request its path.
    """

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.head = b""
        self.client = client
        self.server = server

    def heard(self, data: bytes) -> None:
        """Keep the start of what the client says."""
        if len(self.head) < _HEAD_BYTES:
            self.head += data[: _HEAD_BYTES - len(self.head)]

    def reset(self) -> None:
        """End both sides with a RST, whatever is unsent."""
        for writer in (self.client, self.server):
            connection: socket.socket | None = writer.get_extra_info("socket")
            if connection is not None and not writer.is_closing():
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
            writer.transport.abort()

    def half_close(self) -> None:
        """Tell the client that the server will say no more; what the client says still arrives."""
        if not self.client.is_closing():
            self.client.write_eof()


class Proxy:
    """Passes bytes on to `host:port`, on a port of its own. All faults may be changed while connections are open.

    `matching` below: only connections whose `head` has these bytes; `b""` means all.
    """

    def __init__(self, host: str, port: int) -> None:
        self.latency_seconds = 0.0  # in each direction
        self.port = 0
        self._target = (host, port)
        self._pairs: set[Pair] = set()
        self._flows: set[asyncio.Task[None]] = set()
        self._blackhole: bytes | None = None
        self._changed = asyncio.Condition()

    def pairs(self, matching: bytes = b"") -> list[Pair]:
        """The open connections."""
        return [pair for pair in self._pairs if matching in pair.head]

    def url(self, url: str) -> str:
        """The same URL, through the proxy."""
        parts = urlsplit(url)
        userinfo, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{userinfo}{at}127.0.0.1:{self.port}"))

    def lead_to(self, url: str) -> None:
        """Pass new connections on to the server of this URL; open ones stay where they are."""
        self._target = _address(url)

    async def blackhole(self, matching: bytes = b"") -> int:
        """Let nothing through, of new connections neither, and close nothing; how many are open.

        As when packets are lost: what is sent meanwhile arrives after `heal`, if its connection still exists then.
        """
        async with self._changed:
            self._blackhole = matching
        return len(self.pairs(matching))

    async def heal(self) -> None:
        """End the blackhole and the latency."""
        async with self._changed:
            self._blackhole = None
            self.latency_seconds = 0.0
            self._changed.notify_all()

    def reset(self, matching: bytes = b"") -> int:
        """Break the open connections with a RST; how many."""
        return self._each(matching, Pair.reset)

    def half_close(self, matching: bytes = b"") -> int:
        """Close the server's direction of the open connections; how many."""
        return self._each(matching, Pair.half_close)

    def _each(self, matching: bytes, fault: Callable[[Pair], None]) -> int:
        pairs = self.pairs(matching)
        for pair in pairs:
            fault(pair)
        return len(pairs)

    async def serve(self, client: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either side ends it."""
        task = asyncio.current_task()
        assert task is not None
        self._flows.add(task)
        try:
            async with asyncio.timeout(_DIAL_SECONDS):
                server, server_writer = await asyncio.open_connection(*self._target)
        except (OSError, TimeoutError):
            writer.transport.abort()
            return
        finally:
            self._flows.discard(task)
        pair = Pair(writer, server_writer)
        self._pairs.add(pair)
        flows = [
            asyncio.create_task(self._flow(pair, client, server_writer, from_client=True), name="proxy up"),
            asyncio.create_task(self._flow(pair, server, writer, from_client=False), name="proxy down"),
        ]
        self._flows.update(flows)
        try:
            await asyncio.wait(flows)
        finally:
            self._pairs.discard(pair)
            self._flows.difference_update(flows)
            for one in flows:
                one.cancel()
            writer.transport.abort()
            server_writer.transport.abort()

    async def close(self) -> None:
        """End every connection."""
        for pair in self.pairs():
            pair.reset()
        flows = list(self._flows)
        for flow in flows:
            flow.cancel()
        await asyncio.gather(*flows, return_exceptions=True)

    async def _flow(
        self, pair: Pair, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, from_client: bool
    ) -> None:
        """One direction, in order. The queue keeps latency from limiting the throughput."""
        chunks: asyncio.Queue[tuple[float, bytes | None]] = asyncio.Queue(_QUEUED_CHUNKS)
        sending = asyncio.create_task(self._send(pair, chunks, writer), name="proxy send")
        loop = asyncio.get_running_loop()
        try:
            while True:
                data = await _read(reader)
                if from_client and data:
                    pair.heard(data)
                await chunks.put((loop.time() + self.latency_seconds, data))
                if not data:
                    await sending
                    return
        finally:
            sending.cancel()

    async def _send(
        self, pair: Pair, chunks: "asyncio.Queue[tuple[float, bytes | None]]", writer: asyncio.StreamWriter
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await chunks.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            async with self._changed:
                await self._changed.wait_for(lambda: self._blackhole is None or self._blackhole not in pair.head)
            if data is None:
                pair.reset()
                return
            if not data:
                with contextlib.suppress(OSError):  # it went first
                    writer.write_eof()
                return
            writer.write(data)
            with contextlib.suppress(ConnectionError):  # the other direction hears of it too
                await writer.drain()


async def _read(reader: asyncio.StreamReader) -> bytes | None:
    """What comes next; nothing at the end, None when the connection was reset."""
    try:
        return await reader.read(_CHUNK_BYTES)
    except ConnectionError:
        return None


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


@contextlib.asynccontextmanager
async def proxy(url: str) -> AsyncIterator[Proxy]:
    """A proxy to the server of this URL, which must name a host and a port; gone at the end."""
    between = Proxy(*_address(url))
    server = await asyncio.start_server(between.serve, "127.0.0.1", 0)
    between.port = server.sockets[0].getsockname()[1]
    try:
        yield between
    finally:
        server.close()
        await between.close()
        await server.wait_closed()
