"""Notices a silent gateway: first sends a ping, then gives up the connection. Pure."""

from seance_client.policy import Policy


class Silence:
    """Follows one connection, whose gateway pings every `heartbeat_seconds`."""

    def __init__(self, policy: Policy, heartbeat_seconds: float, now: float) -> None:
        self._ask_seconds = policy.ping_after * heartbeat_seconds
        self._dead_seconds = policy.dead_after * heartbeat_seconds
        self._since: float | None = now
        self._has_asked = False

    def broken(self, now: float) -> None:
        """A frame arrived."""
        self._since = now
        self._has_asked = False

    def suspended(self) -> None:
        """Reading is paused: silence does not count until the next frame."""
        self._since = None

    @property
    def deadline(self) -> float | None:
        """When the silence has to be checked."""
        if self._since is None:
            return None
        return self._since + (self._dead_seconds if self._has_asked else self._ask_seconds)

    def is_dead(self, now: float) -> bool:
        """Whether the silence has lasted too long."""
        return self._since is not None and now >= self._since + self._dead_seconds

    def asks(self, now: float) -> bool:
        """Whether it is time to send a ping; the call counts the ping as sent."""
        if self._since is None or self._has_asked or now < self._since + self._ask_seconds:
            return False
        self._has_asked = True
        return True
