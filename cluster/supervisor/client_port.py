"""The port for clients: whether a request through that port, and so through the balancer, reaches a ready gateway."""

from collections.abc import Callable

import httpx
import msgspec

from cluster.embedded.haproxy import Balancer
from cluster.supervisor.probes import POLL_SECONDS

_UNTRIED = "no request was sent yet"


class _Error(msgspec.Struct, frozen=True):
    message: str = ""


class _Answer(msgspec.Struct, frozen=True):
    error: _Error | None = None


class ClientPort:
    """`url` is the address for clients. `balancer` is None where a gateway has the port itself."""

    def __init__(self, url: str, report: Callable[[str], None]) -> None:
        self.url = url
        self.balancer: Balancer | None = None
        self.problem: str | None = _UNTRIED
        """Why clients are not served, None while they are served."""
        self._report = report
        self._has_served = False
        # A proxy from the environment must never see loopback requests.
        self._client = httpx.AsyncClient(timeout=POLL_SECONDS, trust_env=False)

    async def sync(self) -> None:
        """Tell the balancer about changed slots."""
        if self.balancer is not None:
            await self.balancer.sync()

    async def look(self) -> None:
        """Send a request as a client does; report when clients are no longer served, and when they are again."""
        before = self.problem
        # A balancer that was not told about a change may still serve, but not with the replicas that there are.
        self.problem = await self._refusal() or (self.balancer.problem if self.balancer is not None else None)
        if self._has_served and (self.problem is None) != (before is None):
            self._report(f"{self.url} serves clients" + ("" if self.problem is None else f" no longer: {self.problem}"))
        self._has_served = self._has_served or self.problem is None

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()

    async def _refusal(self) -> str | None:
        """Why a request for `/ready` through the port failed, None when it succeeded."""
        try:
            answer = await self._client.get(f"{self.url}/ready")
        except httpx.HTTPError as error:
            return str(error) or type(error).__name__
        if answer.status_code == httpx.codes.OK:
            return None
        return f"/ready answered {answer.status_code}: {_reason(answer) or 'no reason given'}"


def _reason(answer: httpx.Response) -> str:
    try:
        error = msgspec.json.decode(answer.content, type=_Answer).error
    except msgspec.DecodeError:
        return ""
    return "" if error is None else error.message
