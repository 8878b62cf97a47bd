"""The client's times and bounds in one place, and the backoff."""

import random
from collections.abc import Callable

import msgspec

# The server keeps a key for 300 s, and must still have the key when a repetition arrives.
_KEY_SECONDS = 270.0


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds. The defaults suit people and services alike; tests make them shorter."""

    backoff_base: float = 0.5
    """The first wait is between 0 and this, each further one up to twice as long."""
    backoff_cap: float = 20.0
    open_timeout: float = 10.0
    join_timeout: float = 15.0
    leave_timeout: float = 5.0
    stable_after: float = 5.0
    """A connection that held for so long makes the backoff start anew."""
    ping_after: float = 1.0
    """Silence in heartbeats of the server after which this client asks for a sign of life."""
    dead_after: float = 2.5
    """Silence in heartbeats after which the connection counts as dead."""
    token_timeout: float = 10.0
    """How long `get_token` may take."""
    token_retry: float = 5.0
    """The wait after `get_token` has failed while the connection is open."""
    limited_wait: float = 1.0
    """The shortest wait after a message was refused with `rate_limited`."""
    typing_seconds: float = 2.0
    """The shortest time between two `typing`: gateways take 0.5 a second."""
    key_seconds: float = _KEY_SECONDS
    """For how long a message may be repeated without becoming two."""
    ghost_seconds: float = 60.0
    """For how long a join that was never answered may hold the name or the seat."""
    max_events: int = 1024
    """Events that wait for the application; when there are more, nothing is read."""
    max_in_flight: int = 64
    """Messages under way at once; the gateway reads no further itself beyond 64."""
    max_frame_bytes: int = 8 * 1024 * 1024
    """The largest frame from the gateway: the roster of a welcome can be long."""


class Backoff:
    """Full jitter: each wait is drawn between 0 and a bound that doubles up to the cap."""

    def __init__(self, policy: Policy, draw: Callable[[], float] = random.random) -> None:
        self.attempts = 0
        self._policy = policy
        self._draw = draw

    def next_seconds(self) -> float:
        """The next wait."""
        # 2.0 ** 1024 would overflow, long after the cap is reached.
        bound = self._policy.backoff_base * 2.0 ** min(self.attempts, 30)
        self.attempts += 1
        return self._draw() * min(self._policy.backoff_cap, bound)

    def jittered(self, seconds: float) -> float:
        """A wait that the server asked for, and up to a quarter more, so that not all clients come at once."""
        return seconds * (1.0 + 0.25 * self._draw())

    def reset(self) -> None:
        """The connection was good: start again with the smallest wait."""
        self.attempts = 0
