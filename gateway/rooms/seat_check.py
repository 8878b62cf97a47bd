"""After a time of silence: who is connected here and holds no seat any more, since news of that was missed."""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

from broker.redis.connection import Reply
from broker.sessions.live_sessions import SessionInfo, connections_of
from gateway.protocol import close_codes
from gateway.protocol.close_codes import Ending
from gateway.rooms.sequencer import RETRY_SECONDS


class Present(Protocol):
    """A joined socket."""

    id: str

    @property
    def user_id(self) -> str:
        """Whose connection it is."""

    def end(self, ending: Ending) -> None:
        """Close the connection."""


Ask = Callable[[str, list[str]], "asyncio.Future[Reply]"]


def call_roll(ask: Ask, info: SessionInfo, users: Iterable[Present]) -> None:
    """End who was replaced, or lost the seat, meanwhile; `ask` gets the seats of users, and is asked until it can."""
    present = list(users)
    if present:
        user_ids = [member.user_id for member in present]
        ask(info.id, user_ids).add_done_callback(partial(_told, ask, info, users, present))


def _told(
    ask: Ask, info: SessionInfo, users: Iterable[Present], present: list[Present], answer: "asyncio.Future[Reply]"
) -> None:
    if answer.exception() is not None:
        answer.get_loop().call_later(RETRY_SECONDS, call_roll, ask, info, users)
        return
    for member, raw in zip(present, answer.result(), strict=True):
        holders = connections_of(raw)
        # Who has no seat at all was removed, or the session was closed: where there are events, the log tells that.
        if member.id in holders or (not holders and info.presence == "full"):
            continue
        # Beside several connections nobody is replaced, but for a bound: coming back does no harm.
        is_replaced = bool(holders) and not info.multiple_connections
        member.end(close_codes.REPLACED if is_replaced else close_codes.RESYNC)
