"""What follows the end of a connection: how long to wait for the next one, or that there is none. Pure."""

from seance_client import closes
from seance_client.closes import Reaction
from seance_client.policy import Backoff, Policy


class Recovery:
    """Remembers what the gateway announced and how the connections before went."""

    def __init__(self, policy: Policy, backoff: Backoff) -> None:
        self._policy = policy
        self._backoff = backoff
        self._joined_at: float | None = None
        # From `reconnect`: come back at this time.
        self._back_at: float | None = None
        # The last `error`: the code that it stands for, should the close frame be lost, and why.
        self._announced_code: int | None = None
        self._announced_reason = ""
        # Until then a join of ours that was never answered may hold the name, the seat or the user.
        self._ghost_until: float | None = None

    def opened(self) -> None:
        """A connection is open; what another one announced is over."""
        self._announced_code = self._back_at = None

    def joined(self, now: float) -> None:
        """The welcome came. An older join may still come through somewhere, and take this connection's place."""
        self._joined_at = now

    def told_to_return(self, at: float) -> None:
        """The gateway wants this client to come back at this time."""
        self._back_at = at

    def complained(self, name: str, message: str) -> None:
        """The gateway sent an `error`; a close may follow."""
        self._announced_code = closes.CODES_BY_NAME.get(name)
        self._announced_reason = message

    def explained(self, code: int, reason: str) -> tuple[int, str]:
        """The close code and its reason, or those announced, when the close frame did not come or says less."""
        if self._announced_code is not None and code in {*closes.WITHOUT_CODE, self._announced_code}:
            return self._announced_code, self._announced_reason or reason
        return code, reason

    def wait_after_close(self, code: int, now: float, *, was_joining: bool, is_urgent: bool = False) -> float | None:
        """Seconds until the next attempt after this close code, None: there is none.

        Args:
            code: The close code.
            now: The time.
            was_joining: Whether a join was not answered; it may be carried out all the same.
            is_urgent: Reconnect at once, unless connections have just been failing.
        """
        reaction = closes.reaction_to_close(code)
        is_ghost = code in closes.SEAT_CODES and self._ghost_until is not None and now < self._ghost_until
        if reaction is Reaction.STOP and not is_ghost:
            return None
        if was_joining and code not in closes.SEAT_CODES:
            self._ghost_until = now + self._policy.ghost_seconds
        if self._joined_at is not None and now - self._joined_at >= self._policy.stable_after:
            self._backoff.reset()
        self._joined_at = None
        is_urgent = (is_urgent or reaction is Reaction.AT_ONCE) and self._backoff.attempts == 0
        wait = self._backoff.next_seconds()
        back_at, self._back_at = self._back_at, None
        if back_at is not None:
            return max(0.0, back_at - now)
        return 0.0 if is_urgent else wait

    def wait_after_refusal(self, status: int, retry_after: float) -> float | None:
        """Seconds until the next attempt after this HTTP status, None: there is none."""
        if closes.reaction_to_refusal(status) is Reaction.STOP:
            return None
        return self._backoff.next_seconds() + retry_after
