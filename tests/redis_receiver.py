"""A receiver of a connection to Redis that remembers what comes, for tests."""

from broker.redis.connection import Reply


class RecordingReceiver:
    """Receives, and remembers."""

    def __init__(self) -> None:
        self.replies: list[object] = []
        self.messages: list[list[object]] = []
        self.reads = 0

    def start_of_read(self) -> None:
        """The start of a read."""

    def reply(self, reply: Reply) -> None:
        """A reply."""
        self.replies.append(reply)

    def push(self, message: list[object]) -> None:
        """A message."""
        self.messages.append(message)

    def end_of_read(self) -> None:
        """The end of a read."""
        self.reads += 1
