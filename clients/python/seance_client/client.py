"""The client: the interface of the application to a session."""

import asyncio
import random
import secrets
import ssl
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from seance_client.addresses import websocket_urls
from seance_client.errors import ConnectTimeoutError, NotConnectedError, SendTimeoutError, UsageError
from seance_client.events import Ack, Event, Level, Position, Welcome
from seance_client.machine import Machine, Phase
from seance_client.policy import Policy
from seance_client.provider import TokenProvider
from seance_client.runner import Runner
from seance_client.texts import checked_key, checked_text
from seance_client.transport import Connector, Target, open_websocket
from seance_client.wire import Join


class Client:
    """One user in one session: `async with Client(url, session_id, name="Ana") as client: ...`.

    Args:
        url: Address of a gateway or balancer (`http`, `https`, `ws` or `wss`), or several, tried in turn.
        session_id: The session's id.
        name: The user's name, unless the token says it.
        token: A user's token (`client.token` of an earlier client, or one of the application), or the session's host
            token.
        get_token: Gives a token of the application for this user, or None when the user gets none any more; may be
            async. The client calls it before the first join without `token`, before the token ends, and before it comes
            back with a token that has ended or was refused.
        password: The session's password, when it has one.
        resume: The position of an earlier client of the same user (`client.position`); all later events follow.
        policy: All times and bounds.
        wants_batches: Let the gateway put several events into one frame; only frames change, not events.
        wants_events: False drops all events: for services that only send.
        connect: Opens connections; for a fault in a test, or another library.
        headers: Further HTTP headers of the upgrade.
        tls: Trust and certificates for `wss`.
        proxy: URL of an HTTP or SOCKS proxy. By default the variables `https_proxy`, `http_proxy` and `no_proxy` say
            which proxy is used, and loopback addresses are reached without one.
        draw: Random numbers from 0 to 1, for the backoff.
    """

    def __init__(
        self,
        url: str | Sequence[str],
        session_id: str,
        *,
        name: str | None = None,
        token: str | None = None,
        get_token: TokenProvider | None = None,
        password: str | None = None,
        resume: Position | None = None,
        policy: Policy | None = None,
        wants_batches: bool = False,
        wants_events: bool = True,
        connect: Connector = open_websocket,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        proxy: str | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        if name is None and token is None and get_token is None:
            raise UsageError("a client needs a name or a token, or `get_token`")
        self.session_id = session_id
        policy = policy or Policy()
        urls, join = websocket_urls(url, session_id), Join(name, token, password)
        self._machine = Machine(urls, join, policy, draw, resume, can_ask=get_token is not None)
        target = Target(
            url="",
            wants_batches=wants_batches,
            max_frame_bytes=policy.max_frame_bytes,
            headers=headers or {},
            tls=tls,
            proxy=proxy,
        )
        self._runner = Runner(self._machine, policy, connect, target, get_token=get_token, wants_events=wants_events)
        self._slots = asyncio.Semaphore(policy.max_in_flight)

    # Connecting and ending.

    async def connect(self, *, timeout: float = 30.0) -> Welcome:  # noqa: ASYNC109 - the plainest name
        """Join the session; returns the welcome. After passing failures the client tries again until the time is over.

        Raises:
            EndedError: The gateway refuses for good; its subclasses say why.
            ConnectTimeoutError: No connection in time; the client is closed.
        """
        self._runner.start(f"seance-client-{self.session_id}")
        try:
            async with asyncio.timeout(timeout):
                await self._runner.joined.wait()
        except TimeoutError as error:
            raise ConnectTimeoutError(f"no welcome within {timeout:g} s: {self._runner.last_trouble}") from error
        finally:
            if self._machine.welcome is None:
                await self._runner.close()
        return self.welcome

    async def leave(self) -> None:
        """Give up the seat, so that the others see `user_left` at once, and end. Without a connection: only end."""
        self._runner.step(self._machine.leave(self._runner.now()))
        if self._machine.phase is Phase.LEAVING:
            await self._runner.ended.wait()
        await self._runner.close()

    async def close(self) -> None:
        """End, but keep the seat for the session's grace time: a client with `token` and `resume` may come back."""
        await self._runner.close()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.leave()

    # The state of the client.

    @property
    def welcome(self) -> Welcome:
        """The last welcome. Raises UsageError before the first one, or the error that ended the client."""
        if self._machine.welcome is None:
            raise self._runner.error or UsageError("connect first")
        return self._machine.welcome

    @property
    def token(self) -> str | None:
        """The newest token of this user: a later client comes back with it. It changes with every renewal."""
        return self._machine.token

    @property
    def position(self) -> Position | None:
        """The position of the last event received, read or not; a later client needs it and `token`."""
        return self._machine.position

    @property
    def is_connected(self) -> bool:
        """Whether the client is in the session now."""
        return self._machine.phase is Phase.JOINED

    @property
    def has_ended(self) -> bool:
        """Whether the client has ended."""
        return self._runner.ended.is_set()

    # Events.

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """The next event. After the last one the iteration ends, or raises the EndedError that ended the client."""
        return await self._runner.inbox.take()

    # Commands.

    async def send(self, text: str, *, key: str | None = None, ack: Level = "accepted", timeout: float = 30.0) -> Ack:  # noqa: ASYNC109 - the plainest name
        """Send a message; returns once it is acknowledged, over as many reconnects as the time allows.

        Calls keep their order. `key` makes a repetition within 5 minutes harmless; by default the client makes a key.

        Raises:
            InvalidMessageError: The text or the key is not valid.
            CommandError: The gateway refuses it; nothing was stored.
            NotStoredError: With `ack="persisted"`: delivered, but Postgres refuses it for good.
            SendTimeoutError: No answer in time (also when nobody reads the events).
            UnconfirmedError: The message may be stored or not, and a repetition could be stored a second time.
            EndedError: The client ended before an answer came.
        """
        text, key = checked_text(text), checked_key(secrets.token_hex(16) if key is None else key)
        is_uncertain = False
        try:
            async with asyncio.timeout(timeout), self._slots:
                self._runner.check()
                command_id, effects = self._machine.say(text, key, ack, self._runner.now())
                try:
                    acked = await self._runner.answer(command_id, effects)
                finally:
                    is_uncertain = self._machine.forget(command_id)
        except TimeoutError as error:
            # The next message may have waited for this one.
            self._runner.step(self._machine.tick(self._runner.now()))
            problem = f"not acknowledged within {timeout:g} s"
            raise SendTimeoutError(problem, key, is_uncertain=is_uncertain) from error
        if acked is None:
            raise AssertionError("a message is answered with its place")
        return acked

    async def ping(self, *, timeout: float = 10.0) -> float:  # noqa: ASYNC109 - the plainest name
        """The round trip to the gateway in seconds. Raises TimeoutError, and NotConnectedError without a connection."""
        command_id, effects = self._machine.ping()
        if command_id is None:
            raise NotConnectedError("there is no connection right now")
        began = self._runner.now()
        try:
            async with asyncio.timeout(timeout):
                await self._runner.answer(command_id, effects)
        finally:
            self._machine.forget(command_id)
        return self._runner.now() - began

    def typing(self) -> None:
        """Tell the others that this user is typing, at most every 2 s; without a connection nothing happens."""
        if not self._runner.is_congested:
            self._runner.step(self._machine.typing(self._runner.now()))
