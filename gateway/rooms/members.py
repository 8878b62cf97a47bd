"""Whose sockets are in a room."""

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Attendant(Protocol):
    """A socket of a user."""

    @property
    def user_id(self) -> str:
        """Whose it is."""


Socket = TypeVar("Socket", bound=Attendant)


class Members(Generic[Socket]):
    """User → sockets. Nearly every user has one, and it costs no more than an entry."""

    __slots__ = ("_sockets",)

    def __init__(self) -> None:
        self._sockets: dict[str, Socket | tuple[Socket, ...]] = {}

    def __bool__(self) -> bool:
        return bool(self._sockets)

    def __iter__(self) -> Iterator[Socket]:
        """Every socket there is now; it may go on the way."""
        for user_id in list(self._sockets):
            yield from self.of(user_id)

    def of(self, user_id: str) -> tuple[Socket, ...]:
        """The user's sockets, the oldest first."""
        found = self._sockets.get(user_id, ())
        return found if isinstance(found, tuple) else (found,)

    def add(self, socket: Socket) -> None:
        """A socket came."""
        self._put(socket.user_id, (*self.of(socket.user_id), socket))

    def discard(self, socket: Socket) -> None:
        """A socket went, if it was here."""
        sockets = self.of(socket.user_id)
        if socket in sockets:
            self._put(socket.user_id, tuple(other for other in sockets if other is not socket))

    def _put(self, user_id: str, sockets: tuple[Socket, ...]) -> None:
        if not sockets:
            del self._sockets[user_id]
        else:
            self._sockets[user_id] = sockets if len(sockets) > 1 else sockets[0]
