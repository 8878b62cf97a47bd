"""The counts of a worker."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from broker.events import instant
from persistence.counters import Counters
from persistence.rows import Record
from tests.stream_fixtures import message


def record(age_seconds: float) -> Record:
    """A message that was sent so long ago."""
    session_id = str(uuid4())
    event = message(session_id, 1)
    event = type(event)(instant(datetime.now(UTC) - timedelta(seconds=age_seconds)), event.data, event.seq)
    return Record(session_id, event)


def test_one_of_sixteen_records_is_timed() -> None:
    """The age of every sixteenth event, the first included, is counted; the age of an event from a fast clock is 0."""
    counters = Counters()
    counters.committed([record(-5), *[record(100)] * 16, record(100)])
    assert counters.persist_seconds.count == 2
    assert 99 < counters.persist_seconds.total < 110
    counters.committed([])
    assert counters.persist_seconds.count == 2
