"""The application's commands: gives each a number, and settles each exactly once. Pure."""

from seance_client import wire
from seance_client.effects import Answer, Effect, Fail, Write
from seance_client.errors import (
    CommandError,
    EndedError,
    InvalidMessageError,
    NotConnectedError,
    NotStoredError,
    UnconfirmedError,
)
from seance_client.events import Ack, Level
from seance_client.outbox import Outbox
from seance_client.policy import Backoff, Policy
from seance_client.wire import Complaint

_DEFAULT_RETRY_MS = 1000
_ERRORS: dict[str, type[CommandError]] = {"validation_error": InvalidMessageError, "unavailable": NotStoredError}


class Commands:
    """Messages wait in the outbox for their acknowledgement; a ping ends with its connection."""

    def __init__(self, policy: Policy, backoff: Backoff) -> None:
        self._backoff = backoff
        self._limited_wait = policy.limited_wait
        self._outbox = Outbox(policy.key_seconds)
        self._pings: set[int] = set()
        # The last `refresh` without an answer.
        self._refresh: int | None = None
        self._last_id = 0

    @property
    def deadline(self) -> float | None:
        """The earliest time at which `due` has something to write; None: nothing waits for a time."""
        return self._outbox.held_until

    def say(self, text: str, key: str, level: Level) -> int:
        """Queue a message, to be sent once it is due."""
        self._last_id += 1
        self._outbox.add(self._last_id, text, key, level)
        return self._last_id

    def ping(self) -> tuple[int, Write]:
        """Make a ping, to be written now."""
        self._last_id += 1
        self._pings.add(self._last_id)
        return self._last_id, Write(wire.encode(wire.Ping(self._last_id)))

    def refresh(self, token: str) -> Write:
        """Make a `refresh`, to be written now."""
        self._last_id += 1
        self._refresh = self._last_id
        return Write(wire.encode(wire.Refresh(self._last_id, token)))

    def is_refresh(self, command_id: int | str | None) -> bool:
        """Whether this is the id of the last `refresh`."""
        return command_id is not None and command_id == self._refresh

    def wait_of(self, complaint: Complaint) -> float:
        """Seconds until a refused command may be repeated, with jitter."""
        return self._backoff.jittered((complaint.retry_after_ms or _DEFAULT_RETRY_MS) / 1000)

    def forget(self, command_id: int) -> bool:
        """The caller no longer waits for the command; returns whether the gateway may have executed it."""
        self._pings.discard(command_id)
        pending = self._outbox.take(command_id)
        return pending is not None and pending.first_sent_at is not None

    def due(self, now: float, epoch: str) -> list[Effect]:
        """The frames to write now, in the order of the calls, and the messages that can't be sent any more."""
        problem = "no answer came in time, and a repetition could be stored twice"
        unsafe: list[Effect] = [
            Fail(number, UnconfirmedError(problem)) for number in self._outbox.take_unsafe(now, epoch)
        ]
        return unsafe + [Write(wire.encode(command)) for command in self._outbox.due(now, epoch)]

    def acked(self, command_id: int | str | None, ack: Ack) -> list[Effect]:
        """The gateway acknowledged a message."""
        if isinstance(command_id, int) and self._outbox.take(command_id):
            return [Answer(command_id, ack)]
        return []

    def ponged(self, command_id: int | str | None) -> list[Effect]:
        """A pong came."""
        if isinstance(command_id, int) and command_id in self._pings:
            self._pings.discard(command_id)
            return [Answer(command_id, None)]
        return []

    def refused(self, command_id: int | str | None, complaint: Complaint, now: float) -> list[Effect] | None:
        """The gateway refused a command; None when the error is about none of these commands."""
        if not isinstance(command_id, int) or command_id not in self._outbox:
            return None
        if complaint.retryable:
            until = now + self.wait_of(complaint)
            if complaint.code == "rate_limited":
                # The rate gives room for several messages meanwhile, so that refusals stay rare.
                until = max(until, now + self._backoff.jittered(self._limited_wait))
                self._outbox.limit(command_id, until)
            else:
                self._outbox.hold(command_id, until)
            return []
        self._outbox.take(command_id)
        kind = _ERRORS.get(complaint.code, CommandError)
        return [Fail(command_id, kind(complaint.code, complaint.message, complaint.field))]

    def disconnected(self) -> list[Effect]:
        """The connection is lost: commands under way may be lost too."""
        self._outbox.disconnected()
        self._refresh = None
        lost = NotConnectedError("the connection was lost")
        pings, self._pings = self._pings, set()
        return [Fail(number, lost) for number in pings]

    def ended(self, error: EndedError) -> list[Effect]:
        """The client has ended: fail all commands."""
        return [Fail(number, error) for number in self._outbox.take_all()]
