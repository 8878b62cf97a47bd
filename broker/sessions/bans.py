"""Bans: for a while nobody gets a new seat of a session by the name, or from the address, of a removed person."""

import msgspec


class Ban(msgspec.Struct, frozen=True):
    """One ban of a session, in force until `expires_at` (seconds since the epoch).

    `who` is "name <folded name>" or "address <keyed hash of the address>".
    """

    who: str
    expires_at: float

    @property
    def arguments(self) -> tuple[str, int]:
        """What the scripts take: who, and until when in milliseconds."""
        return self.who, round(self.expires_at * 1000)
