"""The dashboard asks for series and labels that exist, and is built as Grafana's schema says.

What is held against Grafana is its `kinds/dashboard/dashboard_kind.cue`, as far as it speaks of what the file uses, and
what provisioning adds: no ids of an installation, no inputs that only an import by hand would ask for.
"""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.monitoring.exposition import names_of
from onerun.domain.monitoring import series

FOLDER = Path(__file__).parents[2] / "deployments" / "monitoring"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text())
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
OURS = {name: {*each.labels, "le"} for each in series.ALL for name in names_of(each)}
KEYWORDS = {"by", "on", "and", "or", "without", "ignoring", "unless", "bool"}
EVERYWHERE = {"job", "instance"}


def expressions() -> list[str]:
    return [target["expr"] for panel in PANELS for target in panel["targets"]]


def asked(expression: str) -> tuple[set[str], set[str]]:
    """Returns: the series of an expression, and the labels it names."""
    matchers = re.findall(r"\{([^}]*)\}", expression)
    labels = {
        label for inside in matchers for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", inside)
    }
    plain = re.sub(r"\{[^}]*\}|\[[^]]*\]", " ", expression)
    for inside in re.findall(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)", plain):
        labels |= set(re.findall(r"\w+", inside))
    plain = re.sub(r"\b(?:by|on|without|ignoring)\s*\([^)]*\)", " ", plain)
    words = re.findall(r"[a-zA-Z_]\w*(?!\w)(?!\s*\()", plain)
    return {word for word in words if word not in KEYWORDS}, labels


def of_prefect() -> dict[str, set[str]]:
    """Returns: what Prefect's server exports, as its own registry says, with the labels of each."""
    import prefect.events.clients
    import prefect.server.utilities.worker_channel  # noqa: F401
    from prometheus_client import REGISTRY

    found: dict[str, set[str]] = {}
    for (
        collector,
        names,
    ) in REGISTRY._collector_to_names.items():  # families without samples are not collected
        found |= {name: set(getattr(collector, "_labelnames", ())) for name in names}
    return found


def test_the_reader_of_expressions_reads() -> None:
    words = 'histogram_quantile(0.9, sum by (le) (a_bucket{x=~"$r", y!="b"})) / rate(c_total[5m]) and on (job) d > 0'
    assert asked(words) == ({"a_bucket", "c_total", "d"}, {"le", "x", "y", "job"})


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_every_series_and_label_that_a_panel_asks_for_exists(expression: str) -> None:
    known = {**of_prefect(), **OURS}
    names, labels = asked(expression)
    assert names, "a panel that asks for nothing"
    assert names <= set(known), f"nobody exports {names - set(known)}"
    assert labels <= EVERYWHERE.union(*(known[name] for name in names))


def test_legends_name_labels_that_the_expression_keeps() -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            names, labels = asked(target["expr"])
            kept = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            grouped = "by (" in target["expr"]
            own = EVERYWHERE.union(*(OURS.get(name, set()) for name in names))
            assert kept <= (labels if grouped else own), (panel["title"], kept)


def test_all_that_the_exporter_says_is_shown() -> None:
    shown = set.union(*(asked(expression)[0] for expression in expressions()))
    missing = {each.name for each in series.ALL if not shown & set(names_of(each))}
    assert missing == {"onerun_window_seconds"}


def test_recipes_are_chosen_by_a_variable_that_asks_for_a_series_that_exists() -> None:
    variables = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
    assert set(variables) == {"datasource", "recipe"}
    name, label = re.fullmatch(
        r"label_values\((\w+), (\w+)\)", variables["recipe"]["definition"]
    ).groups()  # type: ignore[union-attr]
    assert (
        label in OURS[name]
        and variables["recipe"]["query"]["query"] == variables["recipe"]["definition"]
    )
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD["panels"])))
    assert used == set(variables)


def test_it_is_built_as_grafanas_schema_says() -> None:
    assert 8 <= len(DASHBOARD["uid"]) <= 40
    assert "id" not in DASHBOARD and "__inputs" not in DASHBOARD, (
        "provisioned, not imported by hand"
    )
    assert DASHBOARD["title"] and DASHBOARD["schemaVersion"] >= 36
    assert DASHBOARD["graphTooltip"] in (0, 1, 2)
    assert {each["type"] for each in DASHBOARD["templating"]["list"]} <= {"query", "datasource"}
    assert all(each["hide"] in (0, 1, 2) for each in DASHBOARD["templating"]["list"])
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_is_whole(panel: dict[str, Any]) -> None:
    assert (
        panel["type"] in ("stat", "timeseries", "bargauge")
        and panel["title"]
        and panel["description"]
    )
    assert {"options", "transformations"} <= set(panel) and set(panel["fieldConfig"]) == {
        "defaults",
        "overrides",
    }
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    refs = [target["refId"] for target in panel["targets"]]
    assert refs and len(set(refs)) == len(refs)
    assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["unit"] in ("none", "s", "bytes") and defaults["color"]["mode"] in (
        "thresholds",
        "palette-classic",
    )
    steps = defaults.get("thresholds", {"steps": [{"value": None}]})["steps"]
    assert steps[0]["value"] is None, "the first step is minus infinity"
    names = set.union(*(asked(target["expr"])[0] for target in panel["targets"]))
    assert (defaults["unit"] == "s") == any(
        name.endswith(("_seconds", "_seconds_bucket")) for name in names
    )


def test_panels_lie_in_the_grid_and_none_upon_another() -> None:
    cells = []
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert (
            place["x"] >= 0 and place["h"] > 0 and place["w"] > 0 and place["x"] + place["w"] <= 24
        )
        cells.append({(x, y) for x in range(place["x"], place["x"] + place["w"])
                      for y in range(place["y"], place["y"] + place["h"])})  # fmt: skip
    assert not [True for one, other in combinations(cells, 2) if one & other]


def test_the_configmap_carries_the_label_that_grafanas_sidecar_looks_for() -> None:
    (made,) = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["configMapGenerator"]
    assert made["options"]["labels"] == {"grafana_dashboard": "1"} and made["files"] == [
        "onerun.json=dashboard.json"
    ]
