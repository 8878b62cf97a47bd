"""The header `Retry-After` (RFC 9110, section 10.2.3)."""

_MAX_SECONDS = 300.0


def seconds_of(value: str | None) -> float:
    """The seconds that the header names, at most 300; 0 without the header, and for a date."""
    return min(float(value), _MAX_SECONDS) if value is not None and value.isdecimal() else 0.0
