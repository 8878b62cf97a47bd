"""The least possible cost: writes each message to every socket, one `transport.write` each, and nothing else.

Run as `python -m bench.peers.bare PORT`. The frame arrives unmasked in effect (the load masks with zeros), so the
server only has to cut the client's header and put its own in front.
"""

import asyncio
import base64
import hashlib
import sys

import uvloop

_ACCEPT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_HEADER = 8  # 0x81, 0xFE, two bytes of length, four of mask: every message here has 126 to 65535 bytes


class Bare(asyncio.Protocol):
    """One socket."""

    sockets: "set[Bare]" = set()  # noqa: RUF012 - shared by all instances on purpose

    def __init__(self) -> None:
        self.is_open = False
        self.rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the upgrade."""
        self.transport: asyncio.Transport = transport  # type: ignore[assignment] # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        """Upgrade, or repeat every frame to everyone."""
        if not self.is_open:
            self._upgrade(data)
            return
        data = self.rest + data
        start = 0
        while len(data) - start >= _HEADER:
            stop = start + _HEADER + int.from_bytes(data[start + 2 : start + 4])
            if stop > len(data):
                break
            frame = b"\x81" + b"\x7e" + data[start + 2 : start + 4] + data[start + _HEADER : stop]
            for one in self.sockets:
                one.transport.write(frame)
            start = stop
        self.rest = data[start:]

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the socket."""
        del exc
        self.sockets.discard(self)

    def _upgrade(self, data: bytes) -> None:
        key = data.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
        accept = base64.b64encode(hashlib.sha1(key + _ACCEPT).digest())  # noqa: S324 - RFC 6455 section 4.2.2
        self.transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        self.is_open = True
        self.sockets.add(self)


async def serve(port: int) -> None:
    """Serve on loopback until killed."""
    server = await asyncio.get_running_loop().create_server(Bare, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1])))
