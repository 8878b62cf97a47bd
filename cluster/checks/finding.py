"""The result of one check."""

import msgspec


class Finding(msgspec.Struct, frozen=True):
    """The subject and what was found; `remedy` is None when the subject is in order."""

    subject: str
    text: str
    remedy: str | None = None

    @property
    def is_good(self) -> bool:
        """Whether the subject is in order."""
        return self.remedy is None
