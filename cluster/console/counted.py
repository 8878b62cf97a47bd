"""Numbers with their noun."""


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 socket`, `2 sockets`; `many` is the plural where that is not `one` and an s."""
    return f"{count} {one if count == 1 else many or f'{one}s'}"
