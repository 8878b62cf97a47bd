"""Looks at the gateways from outside while they are attacked: memory, loop lag, lost leases, and what Redis holds."""

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

import httpx
import psutil
from redis import Redis

from tests.attack.stack import Stack

_LOOK_SECONDS: Final = 0.1
_SCRAPE_SECONDS: Final = 2.0
_SCRAPE_TIMEOUT: Final = 5.0
_LAG: Final = re.compile(r"^seance_loop_lag_seconds(?:\{[^}]*\})? (?P<value>\S+)$", re.MULTILINE)


class Observer:
    """Keeps the time and value of what it saw; memory is that of the largest gateway, in bytes."""

    def __init__(self, stack: Stack) -> None:
        self.memory: list[tuple[float, int]] = []
        self.lag: list[tuple[float, float]] = []
        """Seconds. An answer that does not come in time counts as a loop that was so late."""
        self._processes = [psutil.Process(gateway.popen.pid) for gateway in stack.gateways if gateway.popen is not None]
        self._urls = [gateway.url for gateway in stack.gateways]
        self._is_over = threading.Event()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Look until the end of this."""
        threads = [threading.Thread(target=look, daemon=True) for look in (self._look, *self._scrapers())]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._is_over.set()
            for thread in threads:
                thread.join()

    def most_memory(self, begin: float, end: float) -> int:
        """The most in this time."""
        return max((value for at, value in self.memory if begin <= at < end), default=0)

    def most_lag(self, begin: float, end: float) -> float:
        """The largest in this time."""
        return max((value for at, value in self.lag if begin <= at < end), default=0.0)

    def _look(self) -> None:
        while not self._is_over.wait(_LOOK_SECONDS):
            with contextlib.suppress(psutil.NoSuchProcess):
                self.memory.append((time.monotonic(), max(one.memory_info().rss for one in self._processes)))

    def _scrapers(self) -> Sequence[Callable[[], None]]:
        return [partial(self._scrape, url) for url in self._urls]

    def _scrape(self, url: str) -> None:
        with httpx.Client(base_url=url, timeout=_SCRAPE_TIMEOUT, trust_env=False) as client:
            while not self._is_over.wait(_SCRAPE_SECONDS):
                begun = time.monotonic()
                try:
                    found = _LAG.search(client.get("/metrics").text)
                except httpx.HTTPError:
                    value = time.monotonic() - begun
                else:
                    value = float(found["value"]) if found else 0.0
                self.lag.append((time.monotonic(), value))


def redis_bytes(url: str) -> int:
    """What Redis holds."""
    with Redis.from_url(url) as client:
        return int(client.info("memory")["used_memory"])
