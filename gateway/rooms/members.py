"""The members of a room, by user. Pure."""

from collections.abc import Iterator

from gateway.rooms.membership import Membership


class Members:
    """User → memberships. Nearly every user has one membership, which costs no more than an entry."""

    __slots__ = ("_by_user",)

    def __init__(self) -> None:
        self._by_user: dict[str, Membership | tuple[Membership, ...]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_user)

    def __iter__(self) -> Iterator[Membership]:
        """Every member."""
        for user_id in self._by_user:
            yield from self.of(user_id)

    def of(self, user_id: str) -> tuple[Membership, ...]:
        """The user's memberships, the oldest first."""
        found = self._by_user.get(user_id, ())
        return found if isinstance(found, tuple) else (found,)

    def add(self, member: Membership) -> None:
        """A member came."""
        self._put(member.user_id, (*self.of(member.user_id), member))

    def discard(self, member: Membership) -> None:
        """A member went, if it was here."""
        memberships = self.of(member.user_id)
        if member in memberships:
            self._put(member.user_id, tuple(other for other in memberships if other is not member))

    def _put(self, user_id: str, memberships: tuple[Membership, ...]) -> None:
        if not memberships:
            del self._by_user[user_id]
        else:
            self._by_user[user_id] = memberships if len(memberships) > 1 else memberships[0]
