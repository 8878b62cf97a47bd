"""Whose sockets are in a room."""

import msgspec

from gateway.rooms.members import Members


class Socket(msgspec.Struct, eq=False):
    """A socket of a user."""

    user_id: str


def test_empty() -> None:
    """Nobody is there at first, and whoever is unknown goes without harm."""
    attendance: Members[Socket] = Members()
    attendance.discard(Socket("ana"))
    assert (bool(attendance), list(attendance), attendance.of("ana")) == (False, [], ())


def test_one_each() -> None:
    """Every user's socket is found by the user, until it goes."""
    attendance: Members[Socket] = Members()
    ana, ben = Socket("ana"), Socket("ben")
    attendance.add(ana)
    attendance.add(ben)
    assert (attendance.of("ana"), attendance.of("ben"), list(attendance)) == ((ana,), (ben,), [ana, ben])
    attendance.discard(ana)
    assert (attendance.of("ana"), list(attendance), bool(attendance)) == ((), [ben], True)
    attendance.discard(ben)
    assert not attendance


def test_several_of_one() -> None:
    """Several sockets of a user come in their order, and go one by one in any."""
    attendance: Members[Socket] = Members()
    sockets = [Socket("ana") for _ in range(3)]
    for socket in sockets:
        attendance.add(socket)
    assert attendance.of("ana") == tuple(sockets) == tuple(attendance)
    attendance.discard(Socket("ana"))
    attendance.discard(sockets[1])
    assert attendance.of("ana") == (sockets[0], sockets[2])
    attendance.discard(sockets[0])
    assert attendance.of("ana") == (sockets[2],)
    attendance.discard(sockets[2])
    assert not attendance


def test_going_while_all_are_visited() -> None:
    """Whoever is visited may take themselves and others away."""
    attendance: Members[Socket] = Members()
    sockets = [Socket("ana"), Socket("ana"), Socket("ben"), Socket("cat")]
    for socket in sockets:
        attendance.add(socket)
    visited = []
    for socket in attendance:
        visited.append(socket)
        attendance.discard(socket)
        attendance.discard(sockets[3])
    assert visited == sockets[:3]
    assert not attendance
