"""An identity provider whose tokens are taken: its keys, fetched off the hot path, and the meaning of its claims."""

import asyncio
import contextlib
import time
from collections.abc import Collection
from pathlib import Path

import structlog

from gateway.access.claims import SCOPES
from gateway.access.key_set import KeySet, KeySetError, read_keys
from gateway.access.key_sources import FileSource, KeySource, KeySourceError, UrlSource
from gateway.access.signatures import Expected, Key, verified_payload
from gateway.access.token_errors import KeysUnavailableError, TokenScopeError
from gateway.settings import Settings

# Tokens that may wait for one fetch: as many tasks then run in one turn of the event loop.
MAX_WAITING = 32

# Of several scopes that allow a request, the first one here counts: `user` and `host` need claims that only we make,
# and are words of other services too.
_PREFERRED = ("sessions:join", "sessions:create", "publish", "spirit", "admin", "host", "user")

log = structlog.get_logger()


class IdentityProvider:
    """Verifies the tokens of one identity provider."""

    def __init__(
        self,
        source: KeySource,
        *,
        issuer: str | None = None,
        audience: str | None = None,
        name_claim: str = "name",
        session_claim: str = "sid",
        scope_claim: str = "scope",
    ) -> None:
        self._source = source
        self._expected = Expected(issuer, audience, ("exp", *(("iss",) if issuer else ())))
        self._claims = {"name": name_claim, "sid": session_claim}
        self._scope_claim = scope_claim
        self._keys = KeySet()
        self._fetch: asyncio.Task[None] | None = None
        self._waiting = 0

    @classmethod
    def of(cls, settings: Settings) -> "IdentityProvider | None":
        """The identity provider that the settings name, or None."""
        source = source_of(settings)
        if source is None:
            return None
        return cls(
            source,
            issuer=settings.jwt_issuer or None,
            audience=settings.jwt_audience or None,
            name_claim=settings.jwt_name_claim,
            session_claim=settings.jwt_session_claim,
            scope_claim=settings.jwt_scope_claim,
        )

    def start(self) -> None:
        """Begin to fetch the keys, so that the first token need not wait."""
        self._begin_fetch()

    async def close(self) -> None:
        """Stop a fetch that is under way, and give up the source."""
        if self._fetch is not None:
            self._fetch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._fetch
        await self._source.close()

    async def key(self, key_id: str | None) -> Key | None:
        """The key with this `kid`, or None when there is none.

        Waits for a fetch only when the key is not known. Raises KeysUnavailableError when the keys can't be had, or too
        many tokens wait for them.
        """
        if self._keys.wants_fetch(key_id, time.monotonic()):
            self._begin_fetch()
        key = self._keys.find(key_id)
        if key is None and self._fetch is not None:
            await self._wait(self._fetch)
            key = self._keys.find(key_id)
        if key is None and self._keys.has_failed:
            raise KeysUnavailableError
        return key

    def payload(self, token: str, key: Key, scopes: Collection[str] | None) -> dict[str, object]:
        """The payload of a genuine token, with our names of the claims; `scope` is one of `scopes` if there is one.

        Raises TokenError.
        """
        stated = verified_payload(token, key, self._expected)
        scope = _scope_among(stated.get(self._scope_claim), scopes)
        return {**stated, "scope": scope, **{ours: stated.get(theirs) for ours, theirs in self._claims.items()}}

    async def _wait(self, fetch: "asyncio.Task[None]") -> None:
        if self._waiting >= MAX_WAITING:
            raise KeysUnavailableError
        self._waiting += 1
        try:
            await asyncio.shield(fetch)
        finally:
            self._waiting -= 1

    def _begin_fetch(self) -> None:
        if self._fetch is None:
            self._keys.fetching(time.monotonic())
            self._fetch = asyncio.create_task(self._fetch_keys(), name="identity provider's keys")

    async def _fetch_keys(self) -> None:
        try:
            fetched = await self._source.fetch()
            # A hundred keys take several milliseconds.
            keys = await asyncio.to_thread(read_keys, fetched.document)
        except (KeySourceError, KeySetError) as error:
            self._keys.failed()
            log.warning("identity_provider.keys_unavailable", reason=str(error))
        else:
            self._keys.fetched(keys, fetched.fresh_seconds, time.monotonic())
            log.info("identity_provider.keys_fetched", keys=len(keys), fresh_seconds=fetched.fresh_seconds)
        finally:
            self._fetch = None


def source_of(settings: Settings) -> KeySource | None:
    """Where the settings say that the keys are; None when there is no identity provider."""
    if settings.jwks_url:
        return UrlSource(settings.jwks_url)
    return FileSource(Path(settings.jwks_file)) if settings.jwks_file else None


def _scope_among(stated: object, wanted: Collection[str] | None) -> str:
    """The scope that allows the request, of those that the provider states as a list or separated by spaces.

    Providers state scopes of other services too, which are passed over. Raises TokenScopeError.
    """
    words = stated.split() if isinstance(stated, str) else stated if isinstance(stated, list) else []
    known = [word for word in words if isinstance(word, str) and word in SCOPES]
    if not known:
        raise TokenScopeError("the token has no scope of this service")
    return next((scope for scope in _PREFERRED if scope in known and (wanted is None or scope in wanted)), known[0])
