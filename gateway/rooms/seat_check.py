"""The seat check: finds members that lost their seat while the subscription was interrupted. Pure."""

from collections.abc import Iterable, Iterator

from broker.sessions.live_sessions import SessionInfo
from gateway.protocol import close_codes
from gateway.protocol.close_codes import Ending
from gateway.rooms.member import Member


def endings(
    info: SessionInfo, members: Iterable[Member], holders: Iterable[tuple[str, ...]]
) -> Iterator[tuple[Member, Ending]]:
    """The members to end, each with its ending.

    `holders` has, for each member, the ids of the connections that hold the seat of the member's user.
    """
    for member, holding in zip(members, holders, strict=True):
        # A user without any seat was removed, or the session was closed: under `full` presence the log has that event.
        if member.id in holding or (not holding and info.presence == "full"):
            continue
        # With `multiple_connections` a connection is replaced only above the limit; then a resume does no harm.
        is_replaced = bool(holding) and not info.multiple_connections
        yield member, close_codes.REPLACED if is_replaced else close_codes.RESYNC
