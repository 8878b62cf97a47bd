"""One socket of the load, and a group of them: everything that is connected to one server."""

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
    """A non-blocking socket; `position` is how many events it has had, all in order."""

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
        # Goes out as soon as the connection stands.
        self.out = hello

    def take_opening(self, data: bytes) -> bool:
        """Take what the server answers while it lets the socket in; True once it is in or turned away."""
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
        """Send now, or keep what the socket does not take."""
        if self.out:
            self.out += data
            return
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        self.out = data[sent:]

    def flush(self) -> None:
        """Send what was kept."""
        waiting, self.out = self.out, b""
        if waiting:
            self.send(waiting)

    def answer(self, data: bytes) -> None:
        """Answer a ping that came alone; a close frame is a failure."""
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
        # What was published before is not for this one.
        one.position = self.sent[one.seat.room]
        self.sockets.append(one)
        self.sizes[one.seat.room] += 1
        if one.seat.is_publisher:
            self.publishers.append(one)

    def missing(self) -> str:
        """Who has not had everything, in words."""
        late = [one for one in self.sockets if one.position != self.sent[one.seat.room]]
        some = ", ".join(f"{one.seat.name} {one.position}/{self.sent[one.seat.room]}" for one in late[:3])
        return f"{len(late)} of {len(self.sockets)} sockets miss events: {some}"
