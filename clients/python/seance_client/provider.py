"""Asks the application for tokens: one question at a time, with a time limit."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable

TokenProvider = Callable[[], "str | Awaitable[str | None] | None"]
"""Gives a token for this user, or None when the user gets none any more. An exception counts as a passing failure."""


class Provider:
    """Runs `get_token` in a task. `answered(token)` or `failed(reason)` is called once for each question."""

    def __init__(
        self,
        get_token: TokenProvider,
        timeout: float,
        answered: Callable[[str | None], None],
        failed: Callable[[str], None],
    ) -> None:
        self._get_token = get_token
        self._timeout = timeout
        self._answered = answered
        self._failed = failed
        self._task: asyncio.Task[None] | None = None

    def ask(self) -> None:
        """Ask, unless a question has no answer yet."""
        if self._task is None:
            self._task = asyncio.create_task(self._ask(), name="seance-client-token")

    async def close(self) -> None:
        """Drop the question that has no answer yet."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                given = self._get_token()
                token = await given if inspect.isawaitable(given) else given
        except Exception as error:  # noqa: BLE001 - the application's code may raise anything
            self._task = None
            self._failed(f"the application gave no token: {str(error) or type(error).__name__}")
        else:
            self._task = None
            self._answered(token or None)
