"""The client's state machine: events with their time go in, effects come out. Pure: no await, clock or socket.

Each method that takes an event returns the effects, in order. `deadline` says when `tick` is due.
"""

import math
from collections.abc import Callable, Sequence
from enum import Enum

from seance_client import closes, wire
from seance_client.commands import Commands
from seance_client.credentials import Credentials
from seance_client.effects import AskToken, Dial, Effect, Emit, Hangup, Stop, Write
from seance_client.errors import EndedError, LeftError
from seance_client.events import (
    Ack,
    Connected,
    Disconnected,
    ErrorReceived,
    Event,
    Gap,
    Level,
    MessageReceived,
    NotRecovered,
    Position,
    Recovered,
    TokenExpiring,
    TokenRenewed,
    Welcome,
)
from seance_client.order import Order, Place
from seance_client.policy import Backoff, Policy
from seance_client.recovery import Recovery
from seance_client.silence import Silence
from seance_client.wire import Complaint, Content, Envelope, Join, MalformedFrameError, ReconnectHint


class Phase(Enum):
    """The phases of a client."""

    IDLE = "not started"
    ASKING = "the application is asked for a token"
    DIALING = "a connection is being opened"
    JOINING = "open; the welcome has not come"
    JOINED = "in the session"
    LEAVING = "leave is sent; the close has not come"
    WAITING = "for the time of the next attempt"
    STOPPED = "over"


OPEN = frozenset({Phase.JOINING, Phase.JOINED, Phase.LEAVING})


class Machine:
    """One user in one session, over any number of connections.

    Args:
        urls: WebSocket addresses of the session, tried in turn.
        join: Name, token and password of the first join; later joins use the newest token of the gateway.
        draw: Random numbers from 0 to 1, for the backoff.
        position: The position of an earlier client of the same user.
        can_ask: Whether the application gives tokens: before the first join without one, before a token ends, and
            after it has ended or was refused.
    """

    def __init__(
        self,
        urls: Sequence[str],
        join: Join,
        policy: Policy,
        draw: Callable[[], float],
        position: Position | None = None,
        *,
        can_ask: bool = False,
    ) -> None:
        self.phase = Phase.IDLE
        self.welcome: Welcome | None = None
        backoff = Backoff(policy, draw)
        self._urls = tuple(urls)
        self._join = join
        self._policy = policy
        self._credentials = Credentials(join.token, can_ask=can_ask)
        self._order = Order(position)
        self._commands = Commands(policy, backoff)
        self._recovery = Recovery(policy, backoff)
        self._effects: list[Effect] = []
        self._dials = 0
        # When the current phase ends without an event: waiting, joining, leaving.
        self._phase_ends_at: float | None = None
        # While joined.
        self._silence: Silence | None = None
        # When to ask the application again for a token, while joined.
        self._ask_at: float | None = None
        # When `typing` was written last, and when it is due again because it was asked for too soon.
        self._typing_at = -math.inf
        self._typing_due: float | None = None

    @property
    def position(self) -> Position | None:
        """The last event received; None before the first welcome."""
        return self._order.position

    @property
    def token(self) -> str | None:
        """The token of the next join: the newest of the gateway, or of the application."""
        return self._credentials.token

    @property
    def deadline(self) -> float | None:
        """When `tick` has to be called, unless something happens before."""
        times = [self._phase_ends_at]
        if self._silence is not None:
            times += [self._commands.deadline, self._silence.deadline, self._ask_at, self._typing_due]
        return min((time for time in times if time is not None), default=None)

    # Calls of the application.

    def start(self) -> list[Effect]:
        """Begin."""
        self._reach(-math.inf)
        return self._done()

    def say(self, text: str, key: str, level: Level, now: float) -> tuple[int, list[Effect]]:
        """Send a message as soon as possible; an effect answers or fails its id later."""
        self._typing_due = None
        command_id = self._commands.say(text, key, level)
        self._flush(now)
        return command_id, self._done()

    def forget(self, command_id: int) -> bool:
        """The caller no longer waits for this command; returns whether the gateway may have executed it."""
        return self._commands.forget(command_id)

    def ping(self) -> tuple[int | None, list[Effect]]:
        """Ask the gateway for a pong; None without a connection."""
        if self.phase is not Phase.JOINED:
            return None, []
        command_id, write = self._commands.ping()
        return command_id, [write]

    def typing(self, now: float) -> list[Effect]:
        """Tell the others that this user is typing, later when that is too soon; never without a connection."""
        if self.phase is Phase.JOINED:
            self._typing_due = max(now, self._typing_at + self._policy.typing_seconds)
            self._type(now)
        return self._done()

    def provided(self, token: str | None, now: float) -> list[Effect]:
        """The application answers AskToken; None: this user gets no token any more."""
        if self.phase is Phase.ASKING and token is None:
            self._go_on(None, closes.UNAUTHORIZED, "the application has no token for this user", now)
        elif self.phase is Phase.ASKING and token is not None:
            self._credentials.provided(token)
            self._dial()
        elif self.phase is Phase.JOINED and token is not None:
            self._effects.append(self._commands.refresh(token))
        return self._done()

    def unprovided(self, reason: str, now: float) -> list[Effect]:
        """The application could not answer AskToken now."""
        if self.phase is Phase.ASKING:
            self._go_on(self._recovery.wait_after_failure(), closes.NO_CLOSE_FRAME, reason, now)
        elif self.phase is Phase.JOINED:
            self._ask_at = now + self._policy.token_retry
        return self._done()

    def leave(self, now: float) -> list[Effect]:
        """Give up the seat and end."""
        if self.phase is Phase.JOINED:
            self._effects.append(Write(wire.LEAVE))
            self._disconnected()
            self.phase = Phase.LEAVING
            self._phase_ends_at = now + self._policy.leave_timeout
        elif self.phase is not Phase.LEAVING:
            self._stop(None)
        return self._done()

    def close(self) -> list[Effect]:
        """End without giving up the seat; the user may come back by token."""
        self._stop(None)
        return self._done()

    # Events of the connection.

    def opened(self, now: float) -> list[Effect]:
        """The connection is open."""
        if self.phase is Phase.DIALING:
            self.phase = Phase.JOINING
            self._phase_ends_at = now + self._policy.join_timeout
            self._recovery.opened()
            join = Join(self._join.name, self.token, self._join.password, self._order.position)
            self._effects.append(Write(wire.encode(join)))
        return self._done()

    def refused(self, status: int, retry_after: float, reason: str, now: float) -> list[Effect]:
        """The server answered the upgrade with an HTTP status; `retry_after` is 0 without that header."""
        if self.phase is Phase.DIALING:
            self._go_on(self._recovery.wait_after_refusal(status, retry_after), status, reason, now)
        return self._done()

    def lost(self, code: int, reason: str, now: float) -> list[Effect]:
        """The connection ended, or could not be made (1006)."""
        if self.phase is Phase.LEAVING:
            self._stop(None)
        elif self.phase in OPEN or self.phase is Phase.DIALING:
            code, reason = self._recovery.explained(code, reason)
            is_curable = code == closes.UNAUTHORIZED and self._credentials.refused()
            was_joining = self.phase is Phase.JOINING
            wait = self._recovery.wait_after_close(code, now, was_joining=was_joining, is_curable=is_curable)
            if code == closes.UNAUTHORIZED and self._credentials.has_ended(now):
                reason = f"{reason or 'the token is not valid'}; the token of this user has ended"
            self._go_on(wait, code, reason, now)
        return self._done()

    def heard(self, payload: bytes | str, now: float) -> list[Effect]:
        """A frame came."""
        if self._silence is not None:
            self._silence.broken(now)
        try:
            for envelope in wire.decode(payload):
                if self.phase in OPEN:
                    self._object(envelope, wire.content(envelope), now)
        except MalformedFrameError as error:
            self._mend(str(error), now)
        return self._done()

    def tick(self, now: float) -> list[Effect]:
        """Time has passed."""
        if self._phase_ends_at is not None and now >= self._phase_ends_at:
            self._phase_ended(now)
        elif self._silence is not None:
            if self._silence.is_dead(now):
                self._mend("the gateway is silent", now)
            elif self._silence.asks(now):
                self._effects.append(self._commands.ping()[1])
            if self._ask_at is not None and now >= self._ask_at:
                self._ask_token()
            self._type(now)
            self._flush(now)
        return self._done()

    def paused(self) -> None:
        """Reading pauses, so silence says nothing about the connection."""
        if self._silence is not None:
            self._silence.suspended()

    def resumed(self, now: float) -> None:
        """Reading continues."""
        if self._silence is not None:
            self._silence.broken(now)

    # The meaning of a frame.

    def _object(self, envelope: Envelope, content: Content, now: float) -> None:
        match content:
            case Complaint():
                self._complained(envelope.id, content, now)
            case ReconnectHint(after_ms=after_ms):
                self._recovery.told_to_return(now + after_ms / 1000)
            case Welcome() if self.phase is Phase.JOINING:
                self._welcomed(content, now)
            case Welcome():
                self._mend("a second welcome", now)
            case _ if self.phase is Phase.JOINING:
                self._mend(f"{envelope.type} before the welcome", now)
            case Ack():
                self._effects += self._commands.acked(envelope.id, content)
                self._flush(now)
            case "pong":
                self._effects += self._commands.ponged(envelope.id)
            case TokenExpiring() | TokenRenewed():
                self._token_changed(content, now)
            case _:
                self._happened(envelope.seq, content, now)

    def _happened(self, seq: int | None, event: Event, now: float) -> None:
        if isinstance(event, Gap):
            place = self._order.skipped(event.first, event.last)
        else:
            place = Place.NEXT if seq is None else self._order.place(seq)
        if place is Place.BEYOND_A_HOLE:
            self._mend(f"events are missing after {self._order.position}", now)
        elif place is Place.NEXT and (not isinstance(event, MessageReceived) or self._order.is_new(event.id)):
            self._emit(event)

    def _token_changed(self, event: TokenExpiring | TokenRenewed, now: float) -> None:
        self._emit(event)
        if isinstance(event, TokenRenewed):
            self._credentials.issued(event.token, event.expires_in_seconds, now)
            self._ask_at = None
        elif self._credentials.can_ask:
            self._ask_token()

    def _welcomed(self, welcome: Welcome, now: float) -> None:
        previous = self._order.position
        has_recovered = self._order.welcomed(welcome)
        self.welcome = welcome
        self._credentials.issued(welcome.token, welcome.token_expires_in_seconds, now)
        self.phase = Phase.JOINED
        self._phase_ends_at = None
        self._recovery.joined(now)
        self._silence = Silence(self._policy, welcome.heartbeat_seconds, now)
        self._emit(Connected(welcome))
        if previous is not None:
            recovered = Recovered(welcome.resumed.source, welcome.resumed.missed, welcome.resumed.missed_at_least)
            self._emit(recovered if has_recovered else NotRecovered(previous, welcome.position))
        self._flush(now)

    def _complained(self, command_id: int | str | None, complaint: Complaint, now: float) -> None:
        effects = self._commands.refused(command_id, complaint, now)
        if effects is not None:
            self._effects += effects
            return
        retry_after = None if complaint.retry_after_ms is None else complaint.retry_after_ms / 1000
        if command_id is None or self.phase is Phase.JOINING:
            not_before = None if retry_after is None else now + self._commands.wait_of(complaint)
            self._recovery.complained(complaint.code, complaint.message, not_before)
        elif self._commands.is_refresh(command_id) and complaint.retryable:
            self._ask_at = now + self._commands.wait_of(complaint)
        self._emit(ErrorReceived(complaint.code, complaint.message, retry_after))

    # What follows.

    def _reach(self, now: float) -> None:
        """Open a connection; first ask the application for a token when there is none that could be good."""
        if self._credentials.needs_another(now):
            self.phase = Phase.ASKING
            self._phase_ends_at = None
            self._ask_token()
        else:
            self._dial()

    def _type(self, now: float) -> None:
        if self._typing_due is not None and now >= self._typing_due:
            self._typing_at, self._typing_due = now, None
            self._effects.append(Write(wire.TYPING))

    def _ask_token(self) -> None:
        self._ask_at = None
        self._effects.append(AskToken())

    def _dial(self) -> None:
        self.phase = Phase.DIALING
        self._phase_ends_at = None
        self._effects.append(Dial(self._urls[self._dials % len(self._urls)]))
        self._dials += 1

    def _flush(self, now: float) -> None:
        if self.phase is Phase.JOINED and self._order.position is not None:
            self._effects += self._commands.due(now, self._order.position.epoch)

    def _mend(self, problem: str, now: float) -> None:
        """This connection is not reliable: drop it, and resume from the last good position."""
        self._effects.append(Hangup())
        if self.phase is Phase.LEAVING:
            self._stop(None)
            return
        was_joining = self.phase is Phase.JOINING
        code = closes.NO_CLOSE_FRAME
        wait = self._recovery.wait_after_close(code, now, was_joining=was_joining, is_urgent=not was_joining)
        self._go_on(wait, code, problem, now)

    def _go_on(self, wait: float | None, code: int, reason: str, now: float) -> None:
        """Wait for the next attempt, or end when there is no further attempt."""
        self._disconnected()
        self._emit(Disconnected(code, reason, will_retry=wait is not None, retry_seconds=wait or 0.0))
        if wait is None:
            self._stop(closes.error_of(code, reason))
        else:
            self.phase = Phase.WAITING
            self._phase_ends_at = now + wait

    def _phase_ended(self, now: float) -> None:
        match self.phase:
            case Phase.WAITING:
                self._reach(now)
            case Phase.JOINING:
                self._mend("no welcome in time", now)
            case _:
                self._effects.append(Hangup())
                self._stop(None)

    def _stop(self, error: EndedError | None) -> None:
        if self.phase is not Phase.STOPPED:
            self._disconnected()
            self.phase = Phase.STOPPED
            self._phase_ends_at = None
            self._effects += self._commands.ended(error or LeftError(closes.LEFT, "this client has ended"))
            self._effects.append(Stop(error))

    def _disconnected(self) -> None:
        self._effects += self._commands.disconnected()
        self._silence = self._ask_at = self._typing_due = None

    def _emit(self, event: Event) -> None:
        self._effects.append(Emit(event))

    def _done(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects
