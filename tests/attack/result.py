"""What one attack did to the witness and to the gateways, and what of that is not allowed. Pure."""

from collections.abc import Mapping
from typing import Final

import msgspec

from tests.attack.record import Figures, Newcomers, Troubles

MIB: Final = 1 << 20


class Bar(msgspec.Struct, frozen=True):
    """What must hold during an attack; errors, closes, lost leases and users who are turned away never are."""

    p99_milliseconds: float
    memory_bytes: int


LONG: Final = Bar(p99_milliseconds=50.0, memory_bytes=64 * MIB)
# Tests run beside others on a busy machine; the faults that this finds cost seconds and gigabytes.
SHORT: Final = Bar(p99_milliseconds=1500.0, memory_bytes=128 * MIB)


class Memory(msgspec.Struct, frozen=True):
    """Bytes of the largest gateway: the most before, during and after the attack; and of Redis, before and after."""

    before: int
    during: int
    after: int
    redis_before: int
    redis_after: int


class Result(msgspec.Struct, frozen=True):
    """The result of one attack from so many sockets."""

    attack: str
    sockets: int
    before: Figures
    during: Figures
    after: Figures
    troubles: Troubles
    newcomers: Newcomers
    lost_leases: int
    memory: Memory
    loop_lag: float
    """Seconds, the largest of both gateways."""
    tally: Mapping[str, int]
    """What the attacker did and was told."""

    @property
    def name(self) -> str:
        """The attack with its sockets."""
        return f"{self.attack}, {self.sockets}"

    def misses(self, bar: Bar) -> list[str]:
        """What does not hold, in words."""
        grown = self.memory.during - self.memory.before
        found = {
            f"p99 {self.during.p99:.0f} ms": not self.during.p99 <= bar.p99_milliseconds,
            f"errors {self.troubles.errors}": bool(self.troubles.errors),
            f"closes {self.troubles.closes}": bool(self.troubles.closes),
            f"{self.troubles.refused} refused reconnects": bool(self.troubles.refused),
            f"newcomers turned away {self.troubles.turned_away}": bool(self.troubles.turned_away),
            f"{self.during.unanswered} messages without an answer": bool(self.during.unanswered),
            f"{self.lost_leases} lost leases": bool(self.lost_leases),
            f"memory +{grown / MIB:.0f} MiB": grown > bar.memory_bytes,
        }
        return [what for what, is_missed in found.items() if is_missed]
