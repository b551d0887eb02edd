"""What /metrics of a running house says, and what PromQL asks of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
from prometheus_client.parser import text_string_to_metric_families

from pbxd.app import App
from pbxd.config import load

FROM_PROMETHEUS = {"up"}  # Prometheus' own
_MACRO = re.compile(r"\$__rate_interval|\$__interval|\$__range")


class Exposed(dict[str, set[str]]):
    """Sample names, each with the labels it may carry; `sampled` are those that say something from the start."""

    def __init__(self) -> None:
        self.sampled: set[str] = set()


async def exposed(tmp_path: Path) -> Exposed:
    """Of a house that runs; what has no samples yet is there by its name, with the labels it was declared with."""
    file = tmp_path / "pbxd.yaml"
    file.write_text(
        f"data_dir: {tmp_path}/data\nsip: {{udp: ['127.0.0.1:0'], tcp: [], tls: ['127.0.0.1:0']}}\n"
        "http: {listen: '127.0.0.1:0'}\nrtp: {ports: 47500-47599}\n",
        encoding="utf-8",
    )
    app = App(load(file))
    await app.start()
    try:
        text = app.metrics.render().decode()
        found = Exposed()
        for family in text_string_to_metric_families(text):
            found.setdefault(family.name + ("_total" if family.type == "counter" else ""), set())
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
                found.sampled.add(sample.name)
        for metric in app.metrics.read_all():
            name = metric.name + ("_total" if metric.type == "counter" else "")
            found[name].update(getattr(metric, "_labelnames", ()))
        return found
    finally:
        await app.stop()


def selectors(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Metric name and labels of each selector in an expression, Grafana's variables filled in. Raises ValueError where
    it is not PromQL."""
    found: list[tuple[str, set[str]]] = []

    def visit(node: Any) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            found.append((node.name or "", {matcher.name for matcher in node.matchers.matchers}))
        return True

    tree = promql_parser.parse(_MACRO.sub("5m", expression).replace("$instance", ".*"))
    promql_parser.walk(tree, visit)
    yield from found


def grouped(expression: str) -> set[str]:
    """The labels that an expression groups by."""
    found: set[str] = set()

    def visit(node: Any) -> bool:
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            found.update(node.modifier.labels)
        return True

    promql_parser.walk(promql_parser.parse(_MACRO.sub("5m", expression).replace("$instance", ".*")), visit)
    return found


def strangers(expression: str, known: Exposed) -> list[str]:
    """What an expression asks for that the house does not say, as sentences; empty when all is well."""
    wrong = []
    labels = {"instance", "job"}
    for name, asked in selectors(expression):
        if name in FROM_PROMETHEUS:
            continue
        if name not in known:
            wrong.append(f"{name} is not a metric of ours, in {expression}")
            continue
        labels |= known[name]
        wrong += [f"{name} has no label {label}" for label in sorted(asked - known[name] - {"instance", "job"})]
    return wrong + [f"nothing in {expression} has the label {label}" for label in sorted(grouped(expression) - labels)]
