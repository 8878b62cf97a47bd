"""When a connection's token is renewed, and when the client is told of its end. Pure.

Times are in seconds of the loop's clock, of which the caller gives the current one.
"""

import math

import msgspec

# So long before the end of a token, or a tenth of its life when that is shorter, the client is told.
LEAD_SECONDS = 60.0
LEAD_SHARE = 0.1
# A connection takes one `refresh` in so many seconds, since a signature costs more than any other command.
REFRESH_SECONDS = 1.0


class TokenLife(msgspec.Struct, frozen=True, gc=False):
    """A token that a connection has now: valid for `seconds` more, of `life_seconds` in all.

    The gateway renews the token by itself when `is_renewed_here`; else the client has to send another one. `jitter` (0
    to 1) spreads the renewals of clients that came at the same moment.
    """

    seconds: float
    life_seconds: float
    is_renewed_here: bool
    jitter: float = 0.0

    @property
    def lead_seconds(self) -> float:
        """How long before the end something has to be done."""
        return min(LEAD_SECONDS, self.life_seconds * LEAD_SHARE)

    def due_at(self, now: float) -> float:
        """When something has to be done."""
        earlier = self.lead_seconds * self.jitter if self.is_renewed_here else 0.0
        return now + self.seconds - self.lead_seconds - earlier


def whole(seconds: float) -> int:
    """Seconds for the client, rounded up, never negative."""
    return max(0, math.ceil(seconds))
