"""Alert rules, dashboard and scrape configuration are whole, and lead to pages that exist."""

import re
from typing import Any

import promql_parser
import pytest
import yaml

from metrics import dashboard
from tests.promql import DASHBOARD, DEPLOY, queries, rules

ROOT = DEPLOY.parent


def anchors(page: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"(?m)^#+ (.+)$", (ROOT / page).read_text())
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    """An alert has a query, a severity, a summary, an action, and a place in the operations page that is there."""
    assert set(rule) - {"for"} == {"alert", "expr", "labels", "annotations"}
    assert re.fullmatch(r"Seance([A-Z][a-z]+)+", rule["alert"])
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "action", "runbook"}
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert anchor in anchors(page)
    assert promql_parser.parse_duration(rule.get("for", "1s")) is not None


def test_alerts_are_named_once() -> None:
    """No two alerts share a name, and each is in the operations page."""
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))
    page = (ROOT / "docs" / "operations.md").read_text()
    assert [name for name in names if f"`{name}`" not in page] == []


@pytest.mark.parametrize("place", queries())
def test_queries_are_promql(place: str) -> None:
    """Every query can be parsed; those of alerts compare, so that they are silent when all is well."""
    parsed = promql_parser.parse(queries()[place])
    if place.startswith("alert "):
        assert isinstance(parsed, promql_parser.BinaryExpr) or queries()[place].startswith("absent(")


def test_the_dashboard_is_current() -> None:
    """The file is what metrics/dashboard.py makes; `python -m metrics.dashboard` renews it."""
    assert dashboard.text() == (DEPLOY / "grafana" / "dashboards" / "seance.json").read_text()


def test_panels_do_not_overlap() -> None:
    """No two panels share a cell, and none leaves Grafana's 24 columns."""
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        columns, lines = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        cells = {(x, y) for x in columns for y in lines}
        assert max(columns) < 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_prometheus_scrapes_what_compose_runs() -> None:
    """The jobs find the services of compose.yaml by name, on the ports that these answer on."""
    jobs = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    found = {job["job_name"]: job["dns_sd_configs"][0] for job in jobs}
    settings = compose["services"]["gateway"]["environment"]
    assert found["seance-gateway"]["names"] == ["gateway"]
    assert found["seance-gateway"]["port"] == int(settings["ADMIN_PORT"])
    assert found["seance-worker"]["names"] == ["worker"]
    assert found["seance-worker"]["port"] == int(settings["WORKER_METRICS_PORT"])


def test_compose_mounts_what_is_there() -> None:
    """Prometheus and Grafana get files that exist, where their configuration looks for them."""
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    mounts = [
        volume.split(":")[:2]
        for service in ("prometheus", "grafana")
        for volume in compose["services"][service]["volumes"]
        if volume.startswith("./")
    ]
    assert [source for source, _ in mounts if not (ROOT / source).exists()] == []
    targets = {target for _, target in mounts}
    (rules_file,) = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["rule_files"]
    provider = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/seance.yml").read_text())["providers"][0]
    assert {rules_file, provider["options"]["path"]} <= targets
