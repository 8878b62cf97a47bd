"""Which members have to go when their seats are read."""

import pytest
from msgspec.structs import replace

from broker.sessions.live_sessions import SessionInfo
from gateway.protocol import close_codes
from gateway.protocol.close_codes import Ending
from gateway.rooms.seat_check import endings
from tests.unit.gateway.rooms.memberships import INFO, member_of, room_of

SUMMARY = replace(INFO, presence="summary")
SEVERAL = replace(INFO, multiple_connections=True)


@pytest.mark.parametrize(
    ("info", "holding", "ending"),
    [
        (INFO, ("c-ana",), None),
        (INFO, (), close_codes.RESYNC),
        (INFO, ("c-new",), close_codes.REPLACED),
        (SUMMARY, (), close_codes.RESYNC),
        (SEVERAL, ("c-new", "c-ana"), None),
        (SEVERAL, ("c-new",), close_codes.RESYNC),
    ],
)
def test_a_member_goes_when_its_seat_is_held_otherwise(
    info: SessionInfo, holding: tuple[str, ...], ending: Ending | None
) -> None:
    """A member goes when another connection holds its seat, or nobody."""
    member = member_of(room_of(info), "ana")
    assert list(endings(info, (member,), (holding,))) == ([] if ending is None else [(member, ending)])
