"""The members of a room, by user. Pure."""

from collections.abc import Iterator

from gateway.rooms.member import Member


class Members:
    """User → members. Nearly every user has one member, which is stored without a tuple to save memory."""

    __slots__ = ("_by_user",)

    def __init__(self) -> None:
        self._by_user: dict[str, Member | tuple[Member, ...]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_user)

    def __iter__(self) -> Iterator[Member]:
        """Every member."""
        for user_id in self._by_user:
            yield from self.of(user_id)

    def of(self, user_id: str) -> tuple[Member, ...]:
        """The user's members, the oldest first."""
        found = self._by_user.get(user_id, ())
        return found if isinstance(found, tuple) else (found,)

    def add(self, member: Member) -> None:
        """Add a member, as the newest one of its user."""
        self._put(member.user_id, (*self.of(member.user_id), member))

    def discard(self, member: Member) -> None:
        """Remove a member, if it is here."""
        members = self.of(member.user_id)
        if member in members:
            self._put(member.user_id, tuple(other for other in members if other is not member))

    def _put(self, user_id: str, members: tuple[Member, ...]) -> None:
        if not members:
            del self._by_user[user_id]
        else:
            self._by_user[user_id] = members if len(members) > 1 else members[0]
