"""The drain: the order and the pace in which clients are sent away, on a virtual clock."""

import asyncio
from collections.abc import Callable

import pytest

from gateway.access.door import Door
from gateway.lifecycle.drain import JOIN_SECONDS, LEAST_MS, LEAST_SECONDS, LOOK_SECONDS, MOST_MS, PER_SECOND, Drain
from gateway.settings import Settings
from tests.virtual_time import run


class Client:
    """A connection that records when it was shut down, and with which delay."""

    def __init__(self, *, is_joining: bool = False) -> None:
        self.is_joining = is_joining
        self.has_ended = False
        self.went_at = 0.0
        self.after_ms = 0

    def shutdown(self, after_ms: int) -> None:
        """Record the time and the delay."""
        assert not self.has_ended
        self.has_ended = True
        self.after_ms = after_ms
        self.went_at = asyncio.get_running_loop().time()


def drain_of(**settings: int) -> Drain:
    """A drain, by default without a wait for the balancer."""
    chosen = Settings(**{"drain_wait_seconds": 0, **settings})  # type: ignore[arg-type] # all of these are numbers
    return Drain(Door(chosen), chosen)


async def drained(drain: Drain, clients: list[Client], meanwhile: Callable[[], None] = lambda: None) -> float:
    """Run the drain over the clients; returns the seconds that it took."""
    loop = asyncio.get_running_loop()
    loop.call_soon(meanwhile)
    started_at = loop.time()
    await drain.run(lambda: list(clients))
    assert drain.is_over
    assert drain.drained_total == len(clients)
    return loop.time() - started_at


def test_upgrades_are_refused_once_the_drain_began() -> None:
    """Upgrades are refused at once, before any client is sent away."""

    async def begin() -> bool:
        settings = Settings()
        door = Door(settings)
        Drain(door, settings).begin()
        return door.is_draining

    assert run(begin())


@pytest.mark.parametrize("count", [0, 3])
def test_few_clients_go_at_once(count: int) -> None:
    """Fewer than a hundred clients are sent away within a second, long before the window is over."""

    async def seconds() -> float:
        return await drained(drain_of(drain_window_seconds=10), [Client() for _ in range(count)])

    assert run(seconds()) <= count / PER_SECOND


def test_many_clients_are_spread_over_the_window() -> None:
    """More than a hundred clients a second are spread over the window, in random order, with jittered delays."""

    async def clients_of() -> list[Client]:
        clients = [Client() for _ in range(300)]
        await drained(drain_of(drain_window_seconds=1), clients)
        return clients

    clients = run(clients_of())
    went = [client.went_at for client in clients]
    assert went != sorted(went)
    assert sorted(went) == pytest.approx([number / 300 for number in range(300)])
    assert len({client.after_ms for client in clients}) > 50
    assert all(LEAST_MS <= client.after_ms <= MOST_MS for client in clients)


@pytest.mark.parametrize("setting", ["drain_wait_seconds", "drain_window_seconds"])
def test_a_hurried_drain_sends_all_clients_away_at_once(setting: str) -> None:
    """A hurried drain sends all clients away at once, and spreads their reconnects over the rest of the window."""

    async def hurried() -> tuple[float, int]:
        drain = drain_of(**{setting: 10})
        clients = [Client() for _ in range(1000)]
        seconds = await drained(drain, clients, drain.hurry)
        return seconds, max(client.after_ms for client in clients)

    seconds, longest_ms = run(hurried())
    assert seconds < 1
    assert longest_ms > 5000


@pytest.mark.parametrize(("timeout_seconds", "expected"), [(1, 0), (6, 1)])
def test_wait_and_window_are_shortened_to_end_in_time(timeout_seconds: int, expected: float) -> None:
    """Wait and window are shortened to leave time for closing and for the leaves."""

    async def bounded() -> tuple[float, float, float, float]:
        drain = drain_of(drain_wait_seconds=60, drain_window_seconds=300, shutdown_timeout_seconds=timeout_seconds)
        before = drain.left(3)
        seconds = await drained(drain, [Client() for _ in range(500)])
        return before, seconds, drain.left(100), drain.left(100, but=100)

    before, seconds, left, least = run(bounded())
    assert (before, least) == (3, LEAST_SECONDS)
    assert seconds == pytest.approx(expected, abs=0.01)
    assert left == pytest.approx(timeout_seconds - seconds)


def test_a_joining_client_is_sent_away_after_its_join() -> None:
    """A client in the middle of a join is sent away after its join, so that it has its token."""

    async def waited() -> float:
        client, other = Client(is_joining=True), Client()

        def joined() -> None:
            assert not client.has_ended
            assert other.has_ended
            client.is_joining = False

        asyncio.get_running_loop().call_later(0.5, joined)
        return await drained(drain_of(), [client, other])

    assert run(waited()) == pytest.approx(0.5, abs=2 * LOOK_SECONDS)


def test_a_join_that_takes_too_long_is_broken_off() -> None:
    """A join that does not end delays the drain by two seconds and no more."""

    async def waited() -> float:
        return await drained(drain_of(), [Client(is_joining=True)])

    assert run(waited()) == pytest.approx(JOIN_SECONDS, abs=2 * LOOK_SECONDS)


def test_a_client_that_has_ended_is_skipped() -> None:
    """A connection that ended during the window is skipped."""

    async def told() -> int:
        client = Client()
        client.has_ended = True
        drain = drain_of()
        await drain.run(lambda: [client])
        return drain.drained_total

    assert run(told()) == 0
