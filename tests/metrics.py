"""Reads the metrics of a real process, for tests."""

from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from metrics.definitions import Definition


def label_names(definition: Definition) -> tuple[str, ...]:
    """The names of a metric's labels."""
    if definition.kind == "info":
        return ("version", "process", "id")
    return () if definition.label is None else (definition.label.name,)


def sample_names(definition: Definition) -> tuple[str, ...]:
    """The names of a metric's samples in a scrape."""
    if definition.kind == "histogram":
        return tuple(f"{definition.name}{part}" for part in ("_bucket", "_count", "_sum"))
    return (definition.name,)


class Scrape:
    """The samples of one answer."""

    def __init__(self, url: str) -> None:
        response = httpx.get(f"{url}/metrics", timeout=10)
        assert response.status_code == 200
        families = text_string_to_metric_families(response.text)
        self.samples: list[Any] = [sample for family in families for sample in family.samples]

    def __getitem__(self, name: str) -> float:
        """The sum over all labels."""
        return self.of(name)

    def of(self, name: str, **labels: str) -> float:
        """The sum of the samples with these labels; there must be some."""
        found = [one.value for one in self.samples if one.name == name and labels.items() <= one.labels.items()]
        assert found, f"no {name} with {labels}"
        return float(sum(found))
