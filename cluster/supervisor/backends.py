"""Redis and PostgreSQL of a cluster: embedded servers as child processes, or servers that somebody else runs."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from cluster.embedded.services import (
    Service,
    ServiceError,
    prepare_postgres,
    prepare_redis,
    probe_postgres,
    probe_redis,
    problem_with,
    wait_until_answering,
)
from cluster.process.child import Child
from cluster.supervisor.children import Children
from cluster.supervisor.errors import StartError
from cluster.supervisor.plan import Plan

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
# As the status lists them, whichever of the two was prepared first.
_ORDER = ("redis", "postgres")


class Backends:
    """Both servers; after `start` the URLs of both are set, and `children` holds the embedded servers."""

    def __init__(self, plan: Plan, supervised: Children, report: Callable[[str], None]) -> None:
        self.redis_url: str | None = plan.redis_url
        self.database_url: str | None = plan.database_url
        self.children: list[Child] = []
        self._plan = plan
        self._supervised = supervised
        self._report = report

    async def start(self) -> tuple[str, str]:
        """Return the URLs of Redis and PostgreSQL once both answer. Raises StartError and ServiceError."""
        urls = await asyncio.gather(self._redis(), self._postgres())
        self.redis_url, self.database_url = urls
        return urls

    async def stop(self) -> None:
        """Stop the embedded servers; their data is on disk afterwards."""
        await asyncio.gather(*(child.stop(_STOP_SECONDS) for child in self.children))

    async def _redis(self) -> str:
        if self._plan.redis_url is not None:
            url = self._plan.redis_url
            await self._expect("REDIS_URL", lambda: probe_redis(url))
            return url
        return await self._embedded("Redis (Valkey)", lambda: prepare_redis(self._plan.home.data))

    async def _postgres(self) -> str:
        if self._plan.database_url is not None:
            url = self._plan.database_url
            await self._expect("DATABASE_URL", lambda: probe_postgres(url))
            return url
        return await self._embedded("PostgreSQL", lambda: prepare_postgres(self._plan.home.data))

    async def _embedded(self, title: str, prepare: Callable[[], Service]) -> str:
        began = time.monotonic()
        # In a thread, so that requests are answered meanwhile: initdb takes one second, or ten on a busy machine.
        service = await asyncio.to_thread(prepare)
        child = self._supervised.add(service.launch.name, lambda: service.launch)
        self.children.append(child)
        self.children.sort(key=lambda one: _ORDER.index(one.name))
        try:
            await wait_until_answering(service, lambda: not child.is_hopeless, _START_SECONDS)
        except ServiceError as error:
            raise StartError(f"{title}: {error}; its log {child.log} ends with\n{child.last_lines()}") from error
        child.set_state("ready")
        self._report(f"{title}: answers after {time.monotonic() - began:.1f} s")
        return service.url

    async def _expect(self, variable: str, probe: Callable[[], Awaitable[None]]) -> None:
        problem = await problem_with(probe)
        if problem is not None:
            raise StartError(
                f"{variable} is set, so no server is started here, but that one does not answer: {problem}"
            )
        self._report(f"{variable}: that server answers")
