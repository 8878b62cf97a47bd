"""After a time of silence: which members hold no seat any more, since news of that was missed. Pure."""

from collections.abc import Iterable, Iterator

from broker.sessions.live_sessions import SessionInfo
from gateway.protocol import close_codes
from gateway.protocol.close_codes import Ending
from gateway.rooms.member import Member


def endings(
    info: SessionInfo, members: Iterable[Member], holders: Iterable[tuple[str, ...]]
) -> Iterator[tuple[Member, Ending]]:
    """The members that have to go, and how; `holders` are for each member the connections that hold the user's seat."""
    for member, holding in zip(members, holders, strict=True):
        # A user without any seat was removed, or the session was closed: where there are events, the log tells that.
        if member.id in holding or (not holding and info.presence == "full"):
            continue
        # Where several connections are allowed nobody is replaced, but for a bound: coming back does no harm.
        is_replaced = bool(holding) and not info.multiple_connections
        yield member, close_codes.REPLACED if is_replaced else close_codes.RESYNC
