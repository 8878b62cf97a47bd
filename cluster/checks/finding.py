"""One thing that was looked at."""

import msgspec


class Finding(msgspec.Struct, frozen=True):
    """What was found; `remedy` is None when it is as it should be."""

    subject: str
    text: str
    remedy: str | None = None

    @property
    def is_good(self) -> bool:
        """Whether nothing needs mending."""
        return self.remedy is None
