"""How numbers become an answer to Prometheus."""

from collections.abc import Mapping

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from metrics.definitions import of
from metrics.exposition import Endpoint, Exposition, Value
from metrics.histogram import Histogram


def worker_readings() -> dict[str, Value]:
    """A number for every metric of a worker."""
    readings: dict[str, Value] = {}
    for number, one in enumerate(of("worker"), start=1):
        if one.kind == "histogram":
            readings[one.name] = Histogram((1.0,))
        elif one.label is not None:
            readings[one.name] = {one.label.values[0]: float(number)}
        elif one.kind != "info":
            readings[one.name] = number
    return readings


def samples(text: str) -> Mapping[tuple[str, frozenset[str]], float]:
    """(name, label values) → value."""
    return {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_label_is_there_from_the_start() -> None:
    """What has not been counted yet is 0, so that a first increase is seen as one."""
    readings = {**worker_readings(), "seance_worker_outages_total": {"postgres": 3.0}}
    text, content_type = Exposition("worker", "worker-1", lambda: readings).render("")
    found = samples(text.decode())
    assert content_type.startswith("text/plain")
    assert found["seance_worker_outages_total", frozenset({"postgres"})] == 3
    assert found["seance_worker_outages_total", frozenset({"redis"})] == 0


def test_numbers_are_read_when_asked_for() -> None:
    """Every answer has the numbers of its moment."""
    readings = worker_readings()
    exposition = Exposition("worker", "worker-1", lambda: readings)
    for lag in (7, 8):
        readings["seance_worker_lag_entries"] = lag
        text, _ = exposition.render("")
        assert samples(text.decode())["seance_worker_lag_entries", frozenset()] == lag


@pytest.mark.parametrize(
    "wrong",
    [{"seance_connections": 1}, {"seance_worker_outages_total": {"kafka": 1.0}}],
    ids=["a gateway's metric", "an unknown label value"],
)
def test_a_metric_that_the_table_does_not_define_is_refused(wrong: dict[str, Value]) -> None:
    """A metric or a label's value that the table does not define is a mistake."""
    readings = {**worker_readings(), **wrong}
    with pytest.raises(AssertionError, match="not "):
        Exposition("worker", "worker-1", lambda: readings).render("")


def test_a_metric_without_a_number_is_refused() -> None:
    """A metric of the table without a number is a mistake too."""
    readings = worker_readings()
    del readings["seance_worker_lag_entries"]
    with pytest.raises(KeyError, match="seance_worker_lag_entries"):
        Exposition("worker", "worker-1", lambda: readings).render("")


def test_the_endpoint_answers_until_it_is_closed() -> None:
    """The endpoint answers over HTTP until it is closed, and then leaves its port."""
    readings = worker_readings()
    endpoint = Endpoint(Exposition("worker", "worker-1", lambda: readings), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{endpoint.port}/metrics"
    try:
        assert "seance_worker_lag_entries" in httpx.get(url).text
    finally:
        endpoint.close()
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)
