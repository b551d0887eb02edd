"""Dashboard and alarms ask only for what a running house says; every alarm leads to its place in the manual."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.operations.exposed import Exposed, exposed, selectors, strangers
from tests.operations.log_calls import PROJECT

ALARMS = PROJECT / "etc" / "prometheus" / "pbxd-alerts.yaml"
DASHBOARD = PROJECT / "etc" / "grafana" / "pbxd.json"
README = PROJECT / "README.md"
ROWS = ["Calls", "Media", "SIP", "Guard and security", "Store and outbox", "Process", "Queues"]
COLUMNS = 24


def alarms() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALARMS.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return loaded


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in alarms())
    for panel in dashboard()["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (note["expr"] for note in dashboard()["annotations"]["list"])


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Exposed:
    return asyncio.run(exposed(tmp_path_factory.mktemp("house")))


def test_every_metric_and_label_asked_for_exists(known: Exposed) -> None:
    wrong = [sentence for expression in expressions() for sentence in strangers(expression, known)]
    assert wrong == []


def test_every_metric_of_ours_is_on_the_dashboard(known: Exposed) -> None:
    """So that a new one is either shown, or named here with the reason why not."""
    unseen = {"pbxd_certificate_reloads_total"}  # says only that all is well
    shown = {
        name
        for panel in dashboard()["panels"]
        for one in panel.get("targets", ())
        for name, _ in selectors(one["expr"])
    }
    ours = {re.sub(r"_(count|sum)$", "_bucket", name) for name in known if name.startswith("pbxd_")}
    histograms = {name.removesuffix("_bucket") for name in ours if name.endswith("_bucket")}
    assert ours - histograms - shown - unseen == set()


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        ("pbxd_calls > 1", []),
        ("pbxd_cals > 1", ["pbxd_cals is not a metric of ours, in pbxd_cals > 1"]),
        ('rate(pbxd_calls_refused_total{why="x"}[5m])', ["pbxd_calls_refused_total has no label why"]),
        ("sum by (reason) (pbxd_calls)", ["nothing in sum by (reason) (pbxd_calls) has the label reason"]),
    ],
)
def test_a_mistake_would_be_found(known: Exposed, expression: str, wrong: list[str]) -> None:
    assert strangers(expression, known) == wrong


def test_what_is_not_promql_is_refused() -> None:
    with pytest.raises(ValueError, match="unclosed"):
        list(selectors("sum by (pbxd_calls"))


def test_what_alarms_count_is_there_before_it_rises(known: Exposed) -> None:
    """increase() of a series that begins at 1 is 0: what is counted by label must begin at 0."""
    counted = {name for rule in alarms() for name, _ in re.findall(r"increase\((\w+)(\{[^}]*\})?\[", rule["expr"])}
    assert counted > {"pbxd_store_rows_dropped_total", "pbxd_calls_refused_total"}
    assert {name for name in counted if name not in known.sampled} == set()


# ---- alarms


def test_alarms_are_named_once_and_lead_somewhere() -> None:
    anchors = set(re.findall(r'<a id="([^"]+)">', README.read_text(encoding="utf-8")))
    used = Counter(rule["annotations"]["runbook"] for rule in alarms())
    assert Counter(rule["alert"] for rule in alarms()).most_common(1)[0][1] == 1
    assert {place.partition("#")[0] for place in used} == {README.name}
    assert {place.partition("#")[2] for place in used} - anchors == set()
    assert {anchor for anchor in anchors if anchor.startswith("alarm-")} == {place.partition("#")[2] for place in used}


@pytest.mark.parametrize("rule", alarms(), ids=lambda rule: rule["alert"])
def test_each_alarm_is_whole(rule: dict[str, Any]) -> None:
    assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["alert"].startswith("Pbxd")
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"].startswith("{{ $labels.instance }}: ")
    assert re.fullmatch(r"\d+[mh]", rule.get("for", "1m"))
    for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
        assert label == "instance" or re.search(rf"by \([^)]*\b{label}\b", rule["expr"]), (
            f"{label} is not in the result"
        )


def test_a_comparison_decides() -> None:
    """An alarm without a comparison would always ring."""
    assert [rule["alert"] for rule in alarms() if not re.search(r"[<>]|==", rule["expr"])] == []


# ---- dashboard


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    board = dashboard()
    assert board["schemaVersion"] >= 39
    assert (board["uid"], board["title"]) == ("pbxd", "pbxd")
    assert [panel["title"] for panel in board["panels"] if panel["type"] == "row"] == ROWS
    numbers = Counter(panel["id"] for panel in board["panels"])
    assert numbers.most_common(1)[0][1] == 1
    assert {variable["name"] for variable in board["templating"]["list"]} == {"datasource", "instance"}
    for panel in board["panels"]:
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}"
            assert panel["targets"]
            assert panel["title"]


def test_panels_do_not_lie_upon_each_other() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]


def test_legends_name_labels_that_are_there() -> None:
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            grouped = re.search(r"by \(([^)]*)\)", target["expr"])
            for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                assert grouped is None or label in grouped[1], f"{panel['title']}: {label}"
