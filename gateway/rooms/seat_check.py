"""The seat check: finds members that lost their seat while the subscription was interrupted. Pure."""

from collections.abc import Iterable, Iterator

from broker.sessions.live_sessions import SessionInfo
from gateway.protocol import close_codes
from gateway.protocol.close_codes import Ending
from gateway.rooms.member import Member, Standing


def endings(
    info: SessionInfo, members: Iterable[Member], holders: Iterable[tuple[str, ...]]
) -> Iterator[tuple[Member, Ending]]:
    """The members to end, each with its ending.

    `holders` has, for each member, the ids of the connections that hold the seat of the member's user.
    """
    for member, holding in zip(members, holders, strict=True):
        if member.id in holding or is_undecided(info, member, holding):
            continue
        # Without any seat under `full` presence: a third connection of the user has replaced this one, and has left.
        # With `multiple_connections` a connection is replaced only above the limit; then a resume does no harm.
        is_replaced = bool(holding) and not info.multiple_connections
        yield member, close_codes.REPLACED if is_replaced else close_codes.RESYNC


def is_undecided(info: SessionInfo, member: Member, holding: tuple[str, ...]) -> bool:
    """Whether the member may still be ended by an event of the log, which says why its user has no seat."""
    return not holding and info.presence == "full" and member.standing is Standing.BEHIND
