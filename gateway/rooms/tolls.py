"""With which messages of a member Redis looks at the limits, and how many messages it then counts. Pure.

A look costs Redis about half as much as a message. So only one message in several has a toll, and pays for those before
it as well; whoever pays for the user pays for the room too, which costs little more.
"""

from broker.pubsub.publisher import Toll
from gateway.limits.rate import Rate
from gateway.rooms.membership import Membership

# A room pays with one message in so many, a user with one in so many.
ROOM_EVERY = 16
USER_EVERY = 10
# A toll stays small beside the burst, since the messages that are not paid for yet come on top of the burst.
_SHARE = 4


class Tolls:
    """The tolls of a gateway's members, for the limits of the messages of one session and of one user.

    `unpaid` of a room or a membership is the number of messages that are not paid for yet. Below zero every message has
    a toll, until Redis has taken one: -1 when no message is unpaid, -2 for one, and so on. So it begins, so that a user
    who reconnects does not start anew, and so it goes on after a refusal.
    """

    def __init__(self, session: Rate, user: Rate) -> None:
        self._room_every = _every(session, ROOM_EVERY)
        self._user_every = _every(user, USER_EVERY)
        self._room_most = session.burst or ROOM_EVERY
        self._user_most = user.burst
        self._has_user_limit = user.is_limit

    def of_next(self, member: Membership) -> Toll | None:
        """The toll of the member's next message; None when the message is paid for later.

        Where a user may have several connections, on several gateways, each message pays for its user.
        """
        room = member.room
        room_tokens = user_tokens = 0
        if self._has_user_limit:
            unpaid = member.unpaid
            if unpaid < 0:
                user_tokens, member.unpaid = _taken(-unpaid, self._user_most, -1)
            elif unpaid + 1 >= self._user_every or room.info.multiple_connections:
                user_tokens, member.unpaid = _taken(unpaid + 1, self._user_most, 1)
            else:
                member.unpaid = unpaid + 1
        unpaid = room.unpaid
        if unpaid < 0:
            room_tokens, room.unpaid = _taken(-unpaid, self._room_most, -1)
        elif unpaid + 1 >= self._room_every or user_tokens:
            room_tokens, room.unpaid = _taken(unpaid + 1, self._room_most, 1)
        else:
            room.unpaid = unpaid + 1
        return Toll(room_tokens, user_tokens) if room_tokens or user_tokens else None

    def paid(self, member: Membership, toll: Toll) -> None:
        """Redis has taken this toll."""
        room = member.room
        if toll.session and room.unpaid < 0:
            room.unpaid = -1 - room.unpaid
        if toll.user and member.unpaid < 0:
            member.unpaid = -1 - member.unpaid

    def refused(self, member: Membership, toll: Toll) -> None:
        """Redis has refused the message with this toll, and taken nothing. Nobody pays for the refused message."""
        room = member.room
        room.unpaid = _owed(room.unpaid, toll.session)
        member.unpaid = _owed(member.unpaid, toll.user)


def _every(rate: Rate, most: int) -> int:
    """One message in so many pays; without a limit as well, since Redis looks at the backlog of the session too."""
    return max(1, min(most, rate.burst // _SHARE)) if rate.is_limit else most


def _taken(count: int, most: int, sign: int) -> tuple[int, int]:
    """How many tokens `count` messages take at once, and `unpaid` afterwards, above or below zero."""
    tokens = min(count, most)
    left = count - tokens
    return tokens, left if sign > 0 else -1 - left


def _owed(unpaid: int, tokens: int) -> int:
    """`unpaid` after the refusal of a message, whose toll had so many tokens, one of them for itself."""
    if tokens:
        return (-1 - unpaid if unpaid >= 0 else unpaid) - (tokens - 1)
    if unpaid < -1:
        return unpaid + 1
    return unpaid - 1 if unpaid > 0 else unpaid
