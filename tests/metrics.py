"""Reads the metrics of a real process, for tests."""

from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families


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
