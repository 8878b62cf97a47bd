"""The token of the next join, when it ends, and when the application is asked for another one. Pure."""


class Credentials:
    """Follows the user's token over connections. `can_ask`: the application gives a token when it is asked for one."""

    def __init__(self, token: str | None, *, can_ask: bool) -> None:
        self.token = token
        self._can_ask = can_ask
        self._ends_at: float | None = None
        # Whether the token came from the application and no gateway has judged it yet.
        self._is_untried = False
        self._is_refused = False

    @property
    def can_ask(self) -> bool:
        """Whether the application gives tokens."""
        return self._can_ask

    def issued(self, token: str, seconds: float | None, now: float) -> None:
        """The gateway gave this token, in a welcome or a renewal. `seconds`: how long it is valid, if that is known."""
        self.token = token
        self._ends_at = None if seconds is None else now + seconds
        self._is_untried = self._is_refused = False

    def provided(self, token: str) -> None:
        """The application gave this token, for the next join."""
        self.token = token
        self._ends_at = None
        self._is_untried, self._is_refused = True, False

    def refused(self) -> bool:
        """A gateway refused the token; returns whether the application may have a better one."""
        self._is_refused = self._can_ask and not self._is_untried
        return self._is_refused

    def has_ended(self, now: float) -> bool:
        """Whether the token has ended by this client's clock."""
        return self._ends_at is not None and now >= self._ends_at

    def needs_another(self, now: float) -> bool:
        """Whether the application has to be asked before the next join."""
        return self._can_ask and (self.token is None or self._is_refused or self.has_ended(now))
