"""The attacks, in the order in which they are made."""

from typing import Final

from tests.attack.attack import Attack
from tests.attack.attacks import doors, floods, messages

ATTACKS: Final[dict[str, Attack]] = {each.name: each for each in (*floods.ATTACKS, *messages.ATTACKS, *doors.ATTACKS)}
# Of each kind the one that cost the most before there were limits; from one socket.
SHORT: Final = ("pings", "ping-burst", "invalid-commands", "typing")
