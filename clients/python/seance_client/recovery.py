"""Decides after the end of a connection: how long to wait for the next attempt, or to end. Pure."""

import math

from seance_client import closes
from seance_client.closes import Reaction
from seance_client.policy import Backoff, Policy


class Recovery:
    """Remembers what the gateway announced and how earlier connections ended."""

    def __init__(self, policy: Policy, backoff: Backoff) -> None:
        self._policy = policy
        self._backoff = backoff
        self._joined_at: float | None = None
        # From `reconnect`: the time of the next attempt.
        self._back_at: float | None = None
        # From an `error` with `retry_after_ms`: no attempt comes before this time.
        self._not_before = -math.inf
        # The last `error`: its close code, for the case that the close frame is lost, and its reason.
        self._announced_code: int | None = None
        self._announced_reason = ""
        # Until then a join without an answer may hold the name, the seat or the user.
        self._ghost_until: float | None = None

    def opened(self) -> None:
        """A connection is open; announcements of earlier connections no longer count."""
        self._announced_code = self._back_at = None
        self._not_before = -math.inf

    def joined(self, now: float) -> None:
        """The welcome came. An older join may still succeed on another gateway, and replace this connection."""
        self._joined_at = now

    def told_to_return(self, at: float) -> None:
        """The gateway asked this client to reconnect at this time."""
        self._back_at = at

    def complained(self, name: str, message: str, not_before: float | None) -> None:
        """The gateway sent an `error`; a close may follow. `not_before`: the time that the error names, if any."""
        self._announced_code = closes.CODES_BY_NAME.get(name)
        self._announced_reason = message
        if not_before is not None:
            self._not_before = max(self._not_before, not_before)

    def explained(self, code: int, reason: str) -> tuple[int, str]:
        """The close code and its reason; the announced ones when the close frame is lost or says less."""
        if self._announced_code is not None and code in {*closes.WITHOUT_CODE, self._announced_code}:
            return self._announced_code, self._announced_reason or reason
        return code, reason

    def wait_after_close(
        self, code: int, now: float, *, was_joining: bool, is_urgent: bool = False, is_curable: bool = False
    ) -> float | None:
        """Seconds until the next attempt after this close code; None: no further attempt.

        Args:
            code: The close code.
            now: The time.
            was_joining: Whether a join has no answer; the gateway may still execute it.
            is_urgent: Reconnect at once, unless the last connections failed.
            is_curable: The next join comes with a better token, so no code is final.
        """
        reaction = closes.reaction_to_close(code)
        is_ghost = code in closes.SEAT_CODES and self._ghost_until is not None and now < self._ghost_until
        if reaction is Reaction.STOP and not (is_ghost or is_curable):
            return None
        if was_joining and code not in closes.SEAT_CODES:
            self._ghost_until = now + self._policy.ghost_seconds
        if self._joined_at is not None and now - self._joined_at >= self._policy.stable_after:
            self._backoff.reset()
        self._joined_at = None
        is_urgent = (is_urgent or is_curable or reaction is Reaction.AT_ONCE) and self._backoff.attempts == 0
        wait = self._backoff.next_seconds()
        back_at, self._back_at = self._back_at, None
        if back_at is not None:
            wait = max(0.0, back_at - now)
        elif is_urgent:
            wait = 0.0
        return max(wait, self._not_before - now)

    def wait_after_failure(self) -> float:
        """Seconds until the next attempt after a failure on this side of the connection."""
        return self._backoff.next_seconds()

    def wait_after_refusal(self, status: int, retry_after: float) -> float | None:
        """Seconds until the next attempt after this HTTP status; None: no further attempt."""
        if closes.reaction_to_refusal(status) is Reaction.STOP:
            return None
        return self._backoff.next_seconds() + retry_after
