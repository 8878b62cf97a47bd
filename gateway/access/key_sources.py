"""Where an identity provider's keys come from: a URL or a file."""

import asyncio
from pathlib import Path
from typing import NamedTuple, Protocol

from gateway.access.key_set import DEFAULT_FRESH_SECONDS, fresh_seconds

FETCH_SECONDS = 5.0
MAX_BYTES = 1_048_576


class KeySourceError(Exception):
    """The keys can't be read now; the message says why."""


class Fetched(NamedTuple):
    """A JWK Set as it came, and for how many seconds it is fresh."""

    document: bytes
    fresh_seconds: float


class KeySource(Protocol):
    """Reads the keys, wherever they are."""

    async def fetch(self) -> Fetched:
        """The keys as they are now. Raises KeySourceError."""

    async def close(self) -> None:
        """Give up what the source holds."""


class UrlSource:
    """Keys behind a URL (JWKS_URL). Redirects are not followed; the proxies of the environment are used."""

    def __init__(self, url: str) -> None:
        # Here, because the library takes 0.1 s to import, which gateways without a JWKS_URL need not wait for.
        import httpx

        self._errors = (httpx.HTTPError, httpx.InvalidURL)
        self._url = url
        # Made once: reading the certificate authorities would keep the event loop waiting at each fetch.
        self._client = httpx.AsyncClient(timeout=FETCH_SECONDS, headers={"Accept": "application/json"})

    async def fetch(self) -> Fetched:
        """GET the keys. Raises KeySourceError."""
        document = bytearray()
        try:
            async with asyncio.timeout(FETCH_SECONDS), self._client.stream("GET", self._url) as answer:
                if answer.status_code != 200:  # noqa: PLR2004 - OK
                    raise KeySourceError(f"the answer is {answer.status_code}")
                async for chunk in answer.aiter_bytes():
                    document += chunk
                    if len(document) > MAX_BYTES:
                        raise KeySourceError(f"the answer is longer than {MAX_BYTES} bytes")
                return Fetched(bytes(document), fresh_seconds(answer.headers.get("Cache-Control", "")))
        except TimeoutError as exc:
            raise KeySourceError(f"no answer within {FETCH_SECONDS:g} s") from exc
        except self._errors as exc:
            raise KeySourceError(f"{type(exc).__name__}: {exc}") from exc

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


class FileSource:
    """Keys in a file (JWKS_FILE), which is read again every 5 minutes, and for a `kid` that is not known."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def fetch(self) -> Fetched:
        """Read the file. Raises KeySourceError."""
        try:
            document = await asyncio.to_thread(self._path.read_bytes)
        except OSError as exc:
            raise KeySourceError(f"{self._path} can't be read: {exc.strerror or exc}") from exc
        return Fetched(document, DEFAULT_FRESH_SECONDS)

    async def close(self) -> None:
        """Nothing is held."""
