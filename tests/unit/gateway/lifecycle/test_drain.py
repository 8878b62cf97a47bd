"""The order and the pace in which a gateway sends its clients away."""

import asyncio
from collections.abc import Callable

import pytest

from gateway.access.door import Door
from gateway.lifecycle import drain as drain_module
from gateway.lifecycle.drain import LEAST_MS, MOST_MS, Drain
from gateway.settings import Settings

# Much less than the windows and waits here, much more than a moment on a busy machine.
SOON_SECONDS = 4.0


class Client:
    """A connection that remembers when it was told to go, and what."""

    def __init__(self, *, is_joining: bool = False) -> None:
        self.is_joining = is_joining
        self.has_ended = False
        self.went_at = 0.0
        self.after_ms = 0

    def shutdown(self, after_ms: int) -> None:
        """Go."""
        assert not self.has_ended
        self.has_ended = True
        self.after_ms = after_ms
        self.went_at = asyncio.get_running_loop().time()


def drain_of(**settings: int) -> Drain:
    """A drain without a wait, unless it is asked for."""
    chosen = Settings(**{"drain_wait_seconds": 0, **settings})  # type: ignore[arg-type] # all of these are numbers
    return Drain(Door(chosen), chosen)


async def drained(drain: Drain, clients: list[Client], meanwhile: Callable[[], None] = lambda: None) -> float:
    """Drain them all; the seconds it took."""
    loop = asyncio.get_running_loop()
    started_at = loop.time()
    loop.call_soon(meanwhile)
    await drain.run(lambda: list(clients))
    assert drain.is_over
    assert drain.is_draining
    assert drain.drained_total == len(clients)
    return loop.time() - started_at


async def test_few_go_at_once() -> None:
    """Three clients have gone within a moment, whatever the window."""
    assert await drained(drain_of(drain_window_seconds=10), [Client() for _ in range(3)]) < SOON_SECONDS
    assert await drained(drain_of(drain_window_seconds=10), []) < SOON_SECONDS


async def test_many_are_spread() -> None:
    """More than a hundred a second go one by one over the window, in random order, to be back in a jittered moment."""
    clients = [Client() for _ in range(300)]
    assert await drained(drain_of(drain_window_seconds=1), clients) < SOON_SECONDS
    went = [client.went_at for client in clients]
    assert went != sorted(went)
    # A busy machine makes them late; nobody goes before the slot.
    assert all(at - min(went) > number / 300 - 0.01 for number, at in enumerate(sorted(went)))
    assert len({client.after_ms for client in clients}) > 50
    assert all(LEAST_MS <= client.after_ms <= MOST_MS for client in clients)


async def test_hurry() -> None:
    """Told to hurry, in the wait or the window, it sends all away at once, to come back over what was left of it."""
    for settings in ({"drain_wait_seconds": 10}, {"drain_window_seconds": 10}):
        drain = drain_of(**settings)
        clients = [Client() for _ in range(1000)]
        assert await drained(drain, clients, drain.hurry) < SOON_SECONDS
        assert max(client.after_ms for client in clients) > 5000


@pytest.mark.parametrize(("seconds", "most"), [(1, SOON_SECONDS), (6, 1 + SOON_SECONDS)])
async def test_bounded(seconds: int, most: float) -> None:
    """The wait and the window are shortened so that everything ends in time."""
    drain = drain_of(drain_wait_seconds=60, drain_window_seconds=300, shutdown_timeout_seconds=seconds)
    assert drain.left(3) == 3
    assert await drained(drain, [Client() for _ in range(500)]) < most
    assert drain.left(100) <= seconds
    assert drain.left(100, but=100) == drain_module.LEAST_SECONDS


async def test_a_join_is_waited_for() -> None:
    """Who is in the middle of a join goes when it is done, so that the token is not lost."""
    client, other = Client(is_joining=True), Client()

    def joined() -> None:
        assert not client.has_ended
        assert other.has_ended
        client.is_joining = False

    asyncio.get_running_loop().call_later(0.2, joined)
    # The timer runs from before the drain begins.
    assert 0.15 <= await drained(drain_of(), [client, other]) < SOON_SECONDS


async def test_a_join_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A join that does not end is broken off."""
    monkeypatch.setattr(drain_module, "JOIN_SECONDS", 0.1)
    assert 0.09 <= await drained(drain_of(), [Client(is_joining=True)]) < SOON_SECONDS


async def test_who_has_gone_is_not_told() -> None:
    """A connection that ended by itself during the window is passed over."""
    client = Client()
    client.has_ended = True
    drain = drain_of()
    await drain.run(lambda: [client])
    assert drain.drained_total == 0
