"""The loop of one load process: raw epoll, no framework, so that the cost of the load does not limit the server."""

import select
import time
from multiprocessing.connection import Connection
from typing import Any, Final

import msgspec

from bench.load import marks
from bench.load.dialects import DIALECTS, Seat
from bench.load.marks import CheckFailedError
from bench.load.sockets import Group, Socket

_READ_BYTES: Final = 262_144
_AT_ONCE: Final = 1024
_OPENING_AT_ONCE: Final = 64
_TICK_SECONDS: Final = 0.001
_SETTLE_SECONDS: Final = 0.03
OPEN_SECONDS: Final = 120.0
DRAIN_SECONDS: Final = 20.0


class Plan(msgspec.Struct, frozen=True):
    """How to publish: for how long, and at how many messages a second or with how many messages under way."""

    seconds: float
    rate: float | None = None
    window: int = 256
    is_timed: bool = False


class Sent(msgspec.Struct, frozen=True):
    """The messages that one process published: by room since the beginning, and in this run."""

    by_room: dict[str, int]
    messages: int
    seconds: float


class Drained(msgspec.Struct, frozen=True):
    """The events that arrived in one process: all events, since a lost event ends the run. Delays in nanoseconds."""

    deliveries: int
    seconds: float
    delays_ns: list[int]
    ack_delays_ns: list[int]


class Engine:
    """The sockets of one process, and the commands that the process executes."""

    def __init__(self, control: Connection) -> None:
        self._control = control
        self._epoll = select.epoll()
        self._epoll.register(control.fileno(), select.EPOLLIN)
        self._sockets: dict[int, Socket] = {}
        self._groups: dict[str, Group] = {}
        self._undone = 0

    def serve(self) -> None:
        """Execute commands until there are no more; answer pings in between."""
        failure: Exception | None = None
        while True:
            try:
                self._poll(1.0)
            except (CheckFailedError, OSError) as error:
                failure = failure or error  # reported as the answer to the next command
            while self._control.poll():
                try:
                    name, arguments = self._control.recv()
                except EOFError:
                    return
                self._control.send(self._carry_out(name, arguments, failure))
                failure = None

    def _carry_out(self, name: str, arguments: tuple[Any, ...], failure: Exception | None) -> object:
        try:
            if failure is not None and name != "close":
                raise failure
            return getattr(self, name)(*arguments)
        except (CheckFailedError, OSError) as error:
            return error if isinstance(error, CheckFailedError) else CheckFailedError(str(error))

    # Commands

    def connect(self, name: str, dialect: str, seats: list[Seat]) -> tuple[int, int]:
        """Open these sockets; returns how many joined, and how many were refused because the session was full."""
        group = self._groups.setdefault(name, Group(name, DIALECTS[dialect]))
        refused_before, todo = group.refused, iter(seats)
        deadline = time.monotonic() + OPEN_SECONDS
        left = len(seats)
        self._undone = 0
        while left or self._undone:
            while left and self._undone < _OPENING_AT_ONCE:
                self._open(next(todo), group)
                left -= 1
            self._poll(0.1)
            if time.monotonic() > deadline:
                raise CheckFailedError(f"{self._undone + left} of {len(seats)} sockets were not let in")
        refused = group.refused - refused_before
        return len(seats) - refused, refused

    def publish(self, name: str, plan: Plan) -> Sent:
        """Publish as planned, and read meanwhile."""
        group = self._groups[name]
        group.is_timed = plan.is_timed
        begin = now = time.perf_counter()
        end, sent = begin + plan.seconds, 0
        published_until = begin
        total = None if plan.rate is None else int(plan.seconds * plan.rate)
        while group.publishers and (now < end if total is None else sent < total):
            due = self._due(group, plan, sent, now - begin, total)
            for number in range(sent, sent + due):
                self._publish(group, group.publishers[number % len(group.publishers)])
            sent += due
            if due:
                published_until = time.perf_counter()
            self._poll(_TICK_SECONDS)
            now = time.perf_counter()
        return Sent(dict(group.sent), sent, published_until - begin)

    def drain(self, name: str, by_room: dict[str, int]) -> Drained:
        """Read until every socket has every message. Raises CheckFailedError when a message does not arrive."""
        group = self._groups[name]
        group.sent.update({room: number - group.sent[room] for room, number in by_room.items()})
        wanted = sum(group.sent[one.seat.room] - one.position for one in group.sockets) + group.received
        begin = time.perf_counter()
        while group.received < wanted:
            self._poll(0.01)
            if time.perf_counter() - begin > DRAIN_SECONDS:
                raise CheckFailedError(f"{name}: {group.missing()}")
        seconds = time.perf_counter() - begin
        while (left := begin + seconds + _SETTLE_SECONDS - time.perf_counter()) > 0:
            self._poll(left)  # a repeated event would arrive now
        if any(one.position != group.sent[one.seat.room] for one in group.sockets):
            raise CheckFailedError(f"{name}: {group.missing()}")
        drained = Drained(group.received, seconds, group.delays_ns, group.ack_delays_ns)
        group.delays_ns, group.ack_delays_ns, group.received, group.expected = [], [], 0, 0
        group.sent_at_ns.clear()
        return drained

    def close(self, name: str) -> None:
        """Close the sockets of this server."""
        group = self._groups.pop(name, None)
        for one in group.sockets if group is not None else ():
            self._close(one)

    # Sockets

    def _open(self, seat: Seat, group: Group) -> None:
        one = Socket(seat, group)
        self._sockets[one.fd] = one
        self._epoll.register(one.fd, select.EPOLLIN | select.EPOLLOUT)
        self._undone += 1

    def _close(self, one: Socket) -> None:
        del self._sockets[one.fd]
        self._epoll.unregister(one.fd)
        one.sock.close()

    def _due(self, group: Group, plan: Plan, sent: int, passed_seconds: float, total: int | None) -> int:
        """The number of messages to publish now."""
        if plan.rate is not None and total is not None:
            return min(int(passed_seconds * plan.rate) + 1, total) - sent
        sockets_each = max(len(group.sockets) // len(group.sizes), 1)
        return max(plan.window - (group.expected - group.received) // sockets_each, 0)

    def _publish(self, group: Group, one: Socket) -> None:
        room = one.seat.room
        number = group.sent[room]
        group.sent[room] = number + 1
        group.expected += group.sizes[room]
        if group.is_timed:
            group.sent_at_ns[room, number] = time.monotonic_ns()
        had_nothing_waiting = not one.out
        one.send(group.dialect.publish(one.seat, number, marks.text(number)))
        if one.out and had_nothing_waiting:
            self._epoll.modify(one.fd, select.EPOLLIN | select.EPOLLOUT)

    def _poll(self, seconds: float) -> None:
        for fd, mask in self._epoll.poll(seconds, _AT_ONCE):
            one = self._sockets.get(fd)
            if one is None:  # the control pipe, or closed by an event before this one
                continue
            if mask & select.EPOLLOUT:
                one.flush()
                if not one.out:
                    self._epoll.modify(fd, select.EPOLLIN)
            if mask & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                self._read(one)

    def _read(self, one: Socket) -> None:
        try:
            data = one.receive(_READ_BYTES)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data:
            raise CheckFailedError(
                f"{one.group.name}: the server closed {one.seat.name} of {one.seat.room} after {one.position} events"
            )
        if one.opening is not None:
            self._read_opening(one, data)
        else:
            self._read_events(one, data)

    def _read_events(self, one: Socket, data: bytes) -> None:
        if one.carry:
            data = one.carry + data
        group = one.group
        if group.is_timed:
            self._note_delays(one, data)
        found = marks.NUMBERS.findall(data)
        one.carry = marks.unfinished(data)
        if found:
            try:
                one.position = marks.check(found, one.position)
            except CheckFailedError as error:
                raise CheckFailedError(f"{group.name}, {one.seat.name}: {error}") from error
            group.received += len(found)
        elif not one.carry:
            one.answer(data)

    def _read_opening(self, one: Socket, data: bytes) -> None:
        if not one.take_opening(data):
            return
        self._undone -= 1
        if one.opening:
            one.group.refused += 1
            self._close(one)
        else:
            one.group.admit(one)

    def _note_delays(self, one: Socket, data: bytes) -> None:
        now = time.monotonic_ns()
        group = one.group
        if one.seat.is_timed:
            group.delays_ns += [now - int(sent_at) for _, sent_at in marks.TIMES.findall(data)]
        if one.seat.is_publisher and b'"type":"ack"' in data:
            room = one.seat.room
            acked = (group.sent_at_ns.get((room, int(number))) for number in marks.ACKS.findall(data))
            group.ack_delays_ns += [now - sent_at for sent_at in acked if sent_at is not None]


def main(control: Connection) -> None:
    """A load process, from its start to its end."""
    Engine(control).serve()
