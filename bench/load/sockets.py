"""One socket of the load, and the group of all sockets to one server."""

import socket
from collections import Counter, deque
from typing import Final

from bench.load.dialects import UPGRADED, Dialect, Seat, Step
from bench.load.frames import pong, upgrade
from bench.load.marks import CheckFailedError

_LONGEST_CONTROL: Final = 127
_PING: Final = 0x89
_PROTOCOL_SWITCHED: Final = b"HTTP/1.1 101"


class Socket:
    """A non-blocking socket; `position` is the number of events that it got, all in order."""

    __slots__ = ("carry", "fd", "group", "opening", "out", "position", "receive", "seat", "sock")

    def __init__(self, seat: Seat, group: "Group") -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.bind((seat.source, 0))
        self.sock.connect_ex((seat.host, seat.port))
        self.fd = self.sock.fileno()
        self.receive = self.sock.recv
        self.seat = seat
        self.group = group
        self.position = 0
        self.carry = b""
        hello = upgrade(group.dialect.path(seat), seat.port)
        self.opening: deque[Step] | None = deque((Step(hello, UPGRADED), *group.dialect.steps(seat)))
        # Sent as soon as the connection is open.
        self.out = hello

    def take_opening(self, data: bytes) -> bool:
        """Handle the server's answers to the join; True once the socket has joined or was refused."""
        assert self.opening is not None
        self.carry += data
        while self.opening:
            step = self.opening[0]
            place = self.carry.find(step.expect)
            if place < 0:
                return b'"code":"session_full"' in self.carry
            if step.expect is UPGRADED and not self.carry.startswith(_PROTOCOL_SWITCHED):
                raise CheckFailedError(f"the upgrade was refused: {self.carry[:200]!r}")
            self.carry = self.carry[place + len(step.expect) :]
            self.opening.popleft()
            if self.opening and self.opening[0].send:
                self.send(self.opening[0].send)
        return True

    def send(self, data: bytes) -> None:
        """Send now, and keep the bytes that the socket does not take."""
        if self.out:
            self.out += data
            return
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        self.out = data[sent:]

    def flush(self) -> None:
        """Send the kept bytes."""
        waiting, self.out = self.out, b""
        if waiting:
            self.send(waiting)

    def answer(self, data: bytes) -> None:
        """Answer a ping that came in its own read; a close frame is a failure."""
        if data[0] == _PING and len(data) <= _LONGEST_CONTROL:
            self.send(pong(data[2:]))
        elif b'"type":"error"' in data or b"-ERR" in data or data[0] == 0x88:  # noqa: PLR2004 - a close frame
            raise CheckFailedError(f"the server says {data[-300:]!r}")


class Group:
    """The sockets of one server; `received` counts the events that reached them, `sent` the messages by room."""

    def __init__(self, name: str, dialect: Dialect) -> None:
        self.name = name
        self.dialect = dialect
        self.sockets: list[Socket] = []
        self.publishers: list[Socket] = []
        self.sizes: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self.received = 0
        self.expected = 0
        self.refused = 0
        self.is_timed = False
        self.delays_ns: list[int] = []
        self.ack_delays_ns: list[int] = []
        self.sent_at_ns: dict[tuple[str, int], int] = {}

    def admit(self, one: Socket) -> None:
        """The socket is in its room."""
        one.opening = None
        one.carry = b""
        # Messages published before the join are not for this socket.
        one.position = self.sent[one.seat.room]
        self.sockets.append(one)
        self.sizes[one.seat.room] += 1
        if one.seat.is_publisher:
            self.publishers.append(one)

    def missing(self) -> str:
        """The sockets that lack events, as text."""
        late = [one for one in self.sockets if one.position != self.sent[one.seat.room]]
        some = ", ".join(f"{one.seat.name} {one.position}/{self.sent[one.seat.room]}" for one in late[:3])
        return f"{len(late)} of {len(self.sockets)} sockets miss events: {some}"
