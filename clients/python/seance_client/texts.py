"""Checks texts and keys before they are sent, so that no invalid frame ends the connection."""

from seance_client.errors import InvalidMessageError

_MAX_TEXT = 500
_MAX_KEY = 64


def checked_text(text: str) -> str:
    """The text. Raises InvalidMessageError."""
    if not 1 <= len(text.strip()) <= _MAX_TEXT:
        raise _invalid(f"text must have 1 to {_MAX_TEXT} characters after trimming", "text")
    return _checked(text, "text")


def checked_key(key: str) -> str:
    """The idempotency key. Raises InvalidMessageError."""
    if not 1 <= len(key) <= _MAX_KEY:
        raise _invalid(f"key must have 1 to {_MAX_KEY} characters", "key")
    return _checked(key, "key")


def _checked(value: str, field: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _invalid(f"{field} must be valid Unicode", field) from error
    return value


def _invalid(message: str, field: str) -> InvalidMessageError:
    return InvalidMessageError("validation_error", message, field)
