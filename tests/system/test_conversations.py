"""A few random conversations of the lane `make fuzz`, held against the model of a session."""

from collections.abc import Iterator

import pytest

from tests.fuzz.sessions.lane import Lane, running_cluster
from tests.gateways import Gateway
from tests.services import Services


@pytest.fixture(scope="module")
def cluster(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Gateway]]:
    """The two gateways on which they are played."""
    with running_cluster(tmp_path_factory.mktemp("conversations"), services) as gateways:
        yield gateways


@pytest.mark.parametrize("number", range(3))
async def test_random_conversations_keep_every_promise(cluster: list[Gateway], number: int) -> None:
    """Everybody gets every event once and in order, every command its answer, and the history is the same."""
    lane = Lane(0, [gateway.url for gateway in cluster], lambda _done, *, is_last=False: None)  # noqa: ARG005 - no report
    await lane.repeat(f"conversation 1 {number}")
