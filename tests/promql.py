"""Every query of the dashboard and the alert rules, and what each asks for."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import promql_parser
import yaml

DEPLOY = Path(__file__).parent.parent / "deploy"
ALERTS: Any = yaml.safe_load((DEPLOY / "alerts.yml").read_text())
DASHBOARD: Any = json.loads((DEPLOY / "grafana" / "dashboards" / "seance.json").read_text())
# What Prometheus adds to every sample it takes in.
ADDED_LABELS = frozenset({"job", "instance"})
_VARIABLES = {"$__rate_interval": "5m"}


class Wanted(msgspec.Struct, frozen=True):
    """A metric in a query: the labels it must have, and the patterns that their values are compared with."""

    name: str
    labels: frozenset[str]
    values: tuple[tuple[str, str], ...]


def rules() -> list[Any]:
    """All alert rules."""
    return [rule for group in ALERTS["groups"] for rule in group["rules"]]


def queries() -> dict[str, str]:
    """Where it stands → the query, with Grafana's variables filled in."""
    found = {f"alert {rule['alert']}": rule["expr"] for rule in rules()}
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            found[f"panel {panel['title']} {target['refId']}"] = target["expr"]
    for name, value in _VARIABLES.items():
        found = {place: query.replace(name, value) for place, query in found.items()}
    return found


def wanted(query: str) -> list[Wanted]:
    """Every metric that the query asks for; raises ValueError when it can't be parsed."""
    return list(_walk(promql_parser.parse(query), frozenset()))


def _walk(node: Any, labels: frozenset[str]) -> Iterator[Wanted]:
    """`labels`: those that what is around the node groups or matches by."""
    match node:
        case promql_parser.VectorSelector():
            matchers = node.matchers.matchers
            assert not node.matchers.or_matchers
            yield Wanted(
                node.name or "",
                labels | {one.name for one in matchers},
                tuple((one.name, one.value) for one in matchers),
            )
        case promql_parser.MatrixSelector():
            yield from _walk(node.vector_selector, labels)
        case promql_parser.AggregateExpr():
            # Inside an aggregation only its own labels count: no other gets out.
            yield from _walk(node.expr, frozenset(node.modifier.labels) if node.modifier else frozenset())
        case promql_parser.BinaryExpr():
            matching = node.modifier.matching if node.modifier else None
            more = labels | frozenset(matching.labels if matching else ())
            yield from _walk(node.lhs, more)
            yield from _walk(node.rhs, more)
        case promql_parser.Call():
            for argument in node.args:
                yield from _walk(argument, labels)
        case promql_parser.ParenExpr() | promql_parser.UnaryExpr() | promql_parser.SubqueryExpr():
            yield from _walk(node.expr, labels)
        case promql_parser.NumberLiteral() | promql_parser.StringLiteral():
            return
        case _:
            raise AssertionError(f"not looked into: {node!r}")
