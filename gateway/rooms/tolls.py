"""With which messages of a member Redis looks at the limits, and how many messages it then counts. Pure.

A look costs Redis about half as much as a message. So only one message in several has a toll, and pays for those before
it as well.
"""

from broker.pubsub.publisher import Toll
from gateway.limits.rate import Rate
from gateway.rooms.membership import Membership

# A room pays with one message in so many, a user with one in so many.
ROOM_EVERY = 16
USER_EVERY = 8
# A toll stays small beside the burst, since the messages that are not paid for yet come on top of the burst.
_SHARE = 5


class Tolls:
    """The tolls of a gateway's members, for the limits of the messages of one session and of one user.

    `unpaid` of a room or a membership is the number of messages that are not paid for yet; when the next message must
    pay, it is below zero: -1 for none, -2 for one, and so on.
    """

    def __init__(self, session: Rate, user: Rate) -> None:
        self._room_every = _every(session, ROOM_EVERY)
        self._user_every = _every(user, USER_EVERY)
        self._room_most = session.burst or ROOM_EVERY
        self._user_most = user.burst
        self._has_user_limit = user.is_limit

    def of_next(self, member: Membership) -> Toll | None:
        """The toll of the member's next message; None when the message is paid for later.

        The first message of a membership pays, so that a user who reconnects does not start anew. Where a user may have
        several connections, on several gateways, each message pays.
        """
        room = member.room
        unpaid = room.unpaid
        count = unpaid + 1 if unpaid >= 0 else -unpaid
        room_tokens = min(count, self._room_most) if unpaid < 0 or count >= self._room_every else 0
        room.unpaid = 0 if room_tokens else count
        user_tokens = 0
        if self._has_user_limit:
            unpaid = member.unpaid
            count = unpaid + 1 if unpaid >= 0 else -unpaid
            if unpaid < 0 or count >= self._user_every or room.info.multiple_connections:
                user_tokens, count = min(count, self._user_most), 0
            member.unpaid = count
        return Toll(room_tokens, user_tokens) if room_tokens or user_tokens else None

    def refused(self, member: Membership, toll: Toll) -> None:
        """Redis has refused the message with this toll, and took no token: the next message pays what this one did not.

        Nobody pays for the refused message itself.
        """
        room = member.room
        room.unpaid = _due(room.unpaid, toll.session) if toll.session else _without_one(room.unpaid)
        member.unpaid = _due(member.unpaid, toll.user) if toll.user else _without_one(member.unpaid)


def _every(rate: Rate, most: int) -> int:
    """One message in so many pays; without a limit as well, since Redis looks at the backlog of the session too."""
    return max(1, min(most, rate.burst // _SHARE)) if rate.is_limit else most


def _due(unpaid: int, tokens: int) -> int:
    """`unpaid` after the refusal of tokens, one of which was for the refused message."""
    return (-1 - unpaid if unpaid >= 0 else unpaid) - (tokens - 1)


def _without_one(unpaid: int) -> int:
    return unpaid - 1 if unpaid > 0 else unpaid
