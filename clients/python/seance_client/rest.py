"""The REST API for services: sessions, publishing from a server, history. Needs httpx: `seance-client[rest]`."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Literal, Self, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from seance_client.errors import SeanceError, UsageError
from seance_client.events import Level, User
from seance_client.proxies import is_loopback
from seance_client.retry_after import seconds_of
from seance_client.secrecy import concealed

_PAGE = 200
# After 429 without a time.
_SHORTEST_WAIT_SECONDS = 0.5

Answer = TypeVar("Answer")


class Problem(msgspec.Struct, frozen=True):
    """The problem of one field."""

    field: str
    message: str


class RestError(SeanceError):
    """The server refused: HTTP status, error code, message and one Problem for each invalid field.

    `status` is 0 when no answer came; then the request may or may not have been executed. `retry_after` has the seconds
    that the server names with 429 and 503, else 0.
    """

    def __init__(
        self, status: int, code: str, message: str, details: tuple[Problem, ...] = (), retry_after: float = 0.0
    ) -> None:
        super().__init__(f"{message} ({code}, {status})")
        self.status = status
        self.code = code
        self.message = message
        self.details = details
        self.retry_after = retry_after


class Session(msgspec.Struct, frozen=True):
    """A session. `name` is None for a caller without a token, when the session has a password.

    `host_token` comes only from the creation; None when a creation without a token was repeated.
    """

    id: str
    is_active: bool
    has_password: bool
    name: str | None = None
    created_at: str = ""
    max_users: int = 0
    presence: Literal["full", "summary"] = "full"
    spirit: bool = False
    user_count: int = 0
    slow_consumers: Literal["resync", "disconnect"] = "resync"
    multiple_connections: bool = False
    host_token: str | None = None

    def __repr__(self) -> str:
        return concealed(self, "host_token")


class StoredMessage(msgspec.Struct, frozen=True):
    """A message of the history."""

    seq: int
    id: str
    session_id: str
    user_id: str | None
    user_name: str
    text: str
    timestamp: str
    is_spirit: bool


class Page(msgspec.Struct, frozen=True):
    """Messages, seq rising; `next_before` and `next_after` lead to the pages before and after, None at an end."""

    items: tuple[StoredMessage, ...]
    next_before: int | None
    next_after: int | None


class Published(msgspec.Struct, frozen=True):
    """The seq and the id of a published message."""

    seq: int
    id: str


class Users(msgspec.Struct, frozen=True):
    """Who is present."""

    users: tuple[User, ...]
    user_count: int


class Closed(msgspec.Struct, frozen=True):
    """A closed session; `seq` is that of its last event."""

    id: str
    is_active: bool
    seq: int


class _Failure(msgspec.Struct, frozen=True):
    code: str
    message: str
    details: tuple[Problem, ...] = ()


class _Envelope(msgspec.Struct, frozen=True):
    success: bool
    data: msgspec.Raw = msgspec.Raw(b"null")
    error: _Failure | None = None


class Rest:
    """The REST API of a gateway or balancer: `async with Rest(url, token=host_token) as rest: ...`.

    Every method raises RestError. `token` goes with every request, unless the method has its own token. Which scope a
    method needs depends on the gateway's AUTH_MODE.

    After 429 an idempotent call waits as long as `Retry-After` says and tries again, for up to `patience` seconds in
    total: reading, closing, removing, and with a `key` creating and publishing.

    `proxy` is the URL of a proxy; by default the variables `https_proxy`, `http_proxy` and `no_proxy` say which proxy
    is used, and loopback addresses are reached without one. Raises UsageError when that proxy can't be used.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout: float = 10.0,
        patience: float = 30.0,
        proxy: str | None = None,
    ) -> None:
        self._token = token
        self._patience = patience
        try:
            self._http = httpx.AsyncClient(
                base_url=url.rstrip("/"),
                timeout=timeout,
                proxy=proxy,
                # Trust in certificates comes from the environment all the same.
                verify=httpx.create_ssl_context(),
                trust_env=not is_loopback(url),
            )
        except (ImportError, ValueError) as error:
            # A SOCKS proxy needs another package of httpx, and the message names the package.
            raise UsageError(f"this proxy can't be used: {error}") from error

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def create_session(
        self,
        name: str,
        *,
        max_users: int = 6,
        password: str | None = None,
        presence: Literal["full", "summary"] | None = None,
        spirit: bool = True,
        slow_consumers: Literal["resync", "disconnect"] = "resync",
        multiple_connections: bool = False,
        key: str | None = None,
        token: str | None = None,
    ) -> Session:
        """Create a session, with a host token. The same `key` and fields give the same session for 24 hours.

        Without a token the key must be one that nobody can guess, such as `uuid.uuid4()`.
        """
        body = {
            "name": name,
            "max_users": max_users,
            "password": password,
            "presence": presence,
            "spirit": spirit,
            "slow_consumers": slow_consumers,
            "multiple_connections": multiple_connections,
        }
        headers = {"Idempotency-Key": key} if key is not None else {}
        given = {field: value for field, value in body.items() if value is not None}
        is_idempotent = key is not None
        path = "/api/sessions"
        return await self._call(
            Session, "POST", path, body=given, headers=headers, token=token, is_idempotent=is_idempotent
        )

    async def session(self, session_id: str, *, token: str | None = None) -> Session:
        """A session as it is now."""
        return await self._call(Session, "GET", _path(session_id), token=token)

    async def users(self, session_id: str, *, token: str | None = None) -> Users:
        """The users who are present now, on any gateway."""
        return await self._call(Users, "GET", _path(session_id, "users"), token=token)

    async def publish(
        self,
        session_id: str,
        text: str,
        *,
        user_name: str | None = None,
        is_spirit: bool = False,
        key: str | None = None,
        ack: Level = "accepted",
        token: str | None = None,
    ) -> Published:
        """Publish a message as a server. With a `key`, a repetition within 5 minutes is harmless."""
        body = {"text": text, "user_name": user_name, "is_spirit": is_spirit, "id": key}
        given = {field: value for field, value in body.items() if value is not None}
        path = _path(session_id, "messages")
        is_idempotent = key is not None
        return await self._call(
            Published, "POST", path, body=given, query={"ack": ack}, token=token, is_idempotent=is_idempotent
        )

    async def history(
        self,
        session_id: str,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = 50,
        token: str | None = None,
    ) -> Page:
        """A page of messages: before or after a seq, else the newest; at most 200."""
        query = {"before": before, "after": after, "limit": limit}
        given = {name: value for name, value in query.items() if value is not None}
        return await self._call(Page, "GET", _path(session_id, "messages"), query=given, token=token)

    async def messages(
        self, session_id: str, *, after: int = 0, token: str | None = None
    ) -> AsyncIterator[StoredMessage]:
        """Every message after a seq, in order, fetched page by page."""
        position: int | None = after
        while position is not None:
            page = await self.history(session_id, after=position, limit=_PAGE, token=token)
            for message in page.items:
                yield message
            position = page.next_after

    async def close_session(self, session_id: str, *, token: str | None = None) -> Closed:
        """Close the session for good; needs its host token."""
        return await self._call(Closed, "DELETE", _path(session_id), token=token)

    async def remove_user(self, session_id: str, user_id: str, *, token: str | None = None) -> None:
        """Remove a user, wherever connected; needs the session's host token."""
        path = _path(session_id, "users", user_id)
        await self._call(msgspec.Raw, "DELETE", path, token=token)

    async def _call(
        self,
        kind: type[Answer],
        method: str,
        path: str,
        *,
        body: Mapping[str, object] | None = None,
        query: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
        is_idempotent: bool = True,
    ) -> Answer:
        """The answer of a request. `is_idempotent`: a repetition changes nothing."""
        bearer = token or self._token
        sent = dict(headers or {}) | ({"Authorization": f"Bearer {bearer}"} if bearer else {})
        patience = self._patience if is_idempotent else 0.0
        while True:
            try:
                answer = await self._http.request(method, path, json=body, params=query, headers=sent)
            except httpx.HTTPError as error:
                raise RestError(0, "unreachable", str(error) or type(error).__name__) from error
            # Jittered, so that not all clients come at once.
            wait = max(_retry_after(answer), _SHORTEST_WAIT_SECONDS) * (1.0 + 0.25 * random.random())  # noqa: S311
            if answer.status_code != HTTPStatus.TOO_MANY_REQUESTS or wait > patience:
                return _opened(answer, kind)
            patience -= wait
            await asyncio.sleep(wait)


def _path(*parts: str) -> str:
    """The path of a session, or of a resource in it; escaped, so that a wrong id can't name another path."""
    return "/".join(("/api/sessions", *(quote(part, safe="") for part in parts)))


def _retry_after(answer: httpx.Response) -> float:
    return seconds_of(answer.headers.get("Retry-After"))


def _opened(answer: httpx.Response, kind: type[Answer]) -> Answer:
    """The data in the envelope. Raises RestError."""
    try:
        envelope = msgspec.json.decode(answer.content, type=_Envelope)
        if envelope.success:
            return msgspec.json.decode(envelope.data, type=kind)
    except msgspec.DecodeError as error:
        message = "the answer is not one of this API; is this the address of a gateway?"
        raise RestError(answer.status_code, "unexpected_answer", message) from error
    failure = envelope.error or _Failure("unknown", "no reason given")
    raise RestError(answer.status_code, failure.code, failure.message, failure.details, _retry_after(answer))
