"""Exposes the numbers of a process to Prometheus; the process keeps plain numbers, and a scrape reads them."""

from collections.abc import Callable, Iterator, Mapping
from http.server import HTTPServer
from importlib.metadata import version
from threading import Thread

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, start_http_server
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from metrics.definitions import Definition, Process, of
from metrics.histogram import Histogram

Value = float | Histogram | Mapping[str, float] | Mapping[str, str]
"""A number, a histogram, numbers by the value of the metric's one label, or the labels of an `info`."""

Read = Callable[[], Mapping[str, Value]]
"""The current numbers, by metric name."""


class Exposition:
    """The metrics of one process. `read` must give exactly the metrics that the table defines for this process."""

    def __init__(self, process: Process, process_id: str, read: Read) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_Readings(process, process_id, read))
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def render(self, accept: str) -> tuple[bytes, str]:
        """Prometheus text, or OpenMetrics when the Accept header asks for it; and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type


class Endpoint:
    """Serves `/metrics` from a thread of its own until it is closed. Raises OSError when it can't listen."""

    def __init__(self, exposition: Exposition, host: str, port: int) -> None:
        # The library returns a WSGI server, a subclass of HTTPServer.
        self._server: HTTPServer
        self._thread: Thread
        self._server, self._thread = start_http_server(port, host, exposition.registry)

    @property
    def port(self) -> int:
        """The port that the endpoint listens on; chosen by the system when the port was 0."""
        return self._server.server_port

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Readings(Collector):
    def __init__(self, process: Process, process_id: str, read: Read) -> None:
        self._definitions = of(process)
        self._build = {"version": version("seance"), "process": process, "id": process_id}
        self._read = read

    def describe(self) -> list[Metric]:
        return []  # registration must not read the numbers

    def collect(self) -> Iterator[Metric]:
        readings = {"seance_build_info": self._build, **self._read()}
        unknown = readings.keys() - {definition.name for definition in self._definitions}
        assert not unknown, f"not in metrics/definitions.py: {sorted(unknown)}"
        for definition in self._definitions:
            yield _family(definition, readings[definition.name])


def _family(definition: Definition, value: Value) -> Metric:
    name, text = definition.name, definition.help
    match value:
        case Histogram():
            return HistogramMetricFamily(name, text, buckets=value.buckets(), sum_value=value.total)
        case Mapping() if definition.kind == "info":
            return InfoMetricFamily(name.removesuffix("_info"), text, value={k: str(v) for k, v in value.items()})
        case Mapping():
            assert definition.label is not None, name
            unknown = value.keys() - set(definition.label.values)
            assert not unknown, f"{name}: not among the label's values: {sorted(unknown)}"
            family = _plain(definition)(name, text, labels=[definition.label.name])
            for label in definition.label.values:
                family.add_metric([label], float(value.get(label, 0)))
            return family
        case _:
            return _plain(definition)(name, text, value=float(value))


def _plain(definition: Definition) -> type[CounterMetricFamily | GaugeMetricFamily]:
    return CounterMetricFamily if definition.kind == "counter" else GaugeMetricFamily
