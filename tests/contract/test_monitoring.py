"""The dashboard and the alert rules ask for nothing but what a real gateway and worker show."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from cluster.process.ports import free_port
from tests.gateways import running_gateways, running_workers
from tests.metrics import Scrape
from tests.promql import ADDED_LABELS, queries, wanted
from tests.services import Services
from tests.waiting import until

# Prometheus makes this one itself.
OWN: dict[str, list[Mapping[str, str]]] = {"up": [{}]}
JOBS = ("seance-gateway", "seance-worker")


@pytest.fixture(scope="module")
def shown(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[Mapping[str, str]]]]:
    """Sample name → the labels of each of its samples, of a gateway and a worker together."""
    folder, port = tmp_path_factory.mktemp("monitoring"), free_port()
    with (
        running_gateways(services, folder) as [gateway],
        running_workers(services, folder, worker_metrics_port=port),
    ):
        worker = until(lambda: _scrape(f"http://127.0.0.1:{port}"), what="the worker's metrics")
        found: dict[str, list[Mapping[str, str]]] = dict(OWN)
        for sample in (*Scrape(gateway.url).samples, *worker.samples):
            found.setdefault(sample.name, []).append(sample.labels)
        yield found


def _scrape(url: str) -> Scrape | None:
    try:
        return Scrape(url)
    except httpx.TransportError:
        return None


@pytest.mark.parametrize("place", queries())
def test_every_query_finds_what_it_asks_for(place: str, shown: dict[str, list[Mapping[str, str]]]) -> None:
    """Each metric of the query exists, has the labels that are grouped by, and values that the matchers match."""
    asked = wanted(queries()[place])
    assert asked, "it asks for nothing"
    for one in asked:
        assert one.name in shown, f"{one.name} does not exist"
        samples = shown[one.name]
        for label in one.labels - ADDED_LABELS:
            assert all(label in labels for labels in samples), f"{one.name} has no label {label}"
        for label, pattern in one.values:
            values: list[Any] = [*JOBS] if label == "job" else [labels[label] for labels in samples]
            for choice in pattern.split("|"):
                assert any(re.fullmatch(choice, value) for value in values), f"{one.name}: no {label} is {choice}"


def test_every_metric_is_watched(shown: dict[str, list[Mapping[str, str]]]) -> None:
    """Nothing is counted that neither the dashboard nor an alert looks at."""
    seen = {one.name for query in queries().values() for one in wanted(query)}
    ours = {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown if name.startswith("seance_")}
    assert ours - {re.sub(r"_bucket$", "", name) for name in seen} == {"seance_build_info"}
