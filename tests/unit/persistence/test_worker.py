"""The worker's lanes, and how it ends when it can't work at all."""

import pytest
from structlog.testing import capture_logs

from broker.keys import Keys
from persistence.worker import WorkerConfig, lanes, run


@pytest.mark.parametrize("partitions", [1, 2, 3, 16])
def test_every_partition_is_in_one_lane(partitions: int) -> None:
    """The lanes are disjoint, none is empty, and together they are everything."""
    found = lanes(partitions)
    assert sorted(partition for lane in found for partition in lane) == list(range(partitions))
    assert all(found)


def test_a_wrong_configuration_ends_the_process_with_1() -> None:
    """An error that waiting can't mend ends the worker, and the log says why."""
    config = WorkerConfig(database_url="mysql://db/seance", redis_url="redis://127.0.0.1:1", keys=Keys("seance", 4))
    with capture_logs() as lines:
        assert run(config, "worker-1") == 1
    assert [line["event"] for line in lines] == ["worker.failed"]
    assert "database_url" in lines[0]["reason"]
