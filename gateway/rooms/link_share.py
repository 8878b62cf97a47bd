"""How many commands of one member may wait for Redis at a time. Pure.

Redis answers the commands of one gateway in order, so what one member has waiting delays everybody behind. A member may
have `most` commands waiting, and all members together about TOGETHER: while many have some, each may have fewer.
"""

from gateway.rooms.membership import Membership

# Redis runs 128 commands in 2 ms, of the largest messages in 5.
TOGETHER = 128


class LinkShare:
    """The shares of a gateway's members. A member that has its share is held: its socket is not read meanwhile."""

    __slots__ = ("_busy", "_most")

    def __init__(self, most: int) -> None:
        self._most = most
        self._busy = 0  # members with a command that waits

    def room(self, member: Membership) -> int:
        """How many more commands the member may send; at least 1, because a member that is held is not asked."""
        return max(1, self._share() - member.in_flight)

    def sent(self, member: Membership) -> bool:
        """Count a command; returns whether the member is held from now on."""
        if not member.in_flight:
            self._busy += 1
        member.in_flight += 1
        if member.is_held or member.in_flight < self._share():
            return False
        member.is_held = True
        return True

    def answered(self, member: Membership) -> bool:
        """Uncount a command; returns whether the member is not held any more."""
        member.in_flight -= 1
        if not member.in_flight:
            self._busy -= 1
        elif member.in_flight >= self._share():
            return False
        was_held, member.is_held = member.is_held, False
        return was_held

    def _share(self) -> int:
        return max(1, min(self._most, TOGETHER // (self._busy or 1)))
