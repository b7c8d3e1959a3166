"""prefect.yaml: complete, right, and deployed twice without a question or a change."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "prefect.yaml").read_text())
DEPLOYMENTS: list[dict[str, Any]] = DOCUMENT["deployments"]
TRAININGS = {entry["name"]: entry for entry in DEPLOYMENTS if entry["entrypoint"] == "flows.train.train"}


@pytest.mark.parametrize("entry", DEPLOYMENTS, ids=lambda entry: entry["name"])
def test_every_deployment_is_whole(entry: dict[str, Any]) -> None:
    from prefect.flows import load_flow_from_entrypoint

    module, _, name = entry["entrypoint"].rpartition(".")
    assert ":" not in entry["entrypoint"] and (ROOT / f"{module.replace('.', '/')}.py").exists()
    flow = load_flow_from_entrypoint(entry["entrypoint"], use_placeholder_flow=False)
    assert flow.fn.__name__ == name
    assert set(entry.get("parameters", {})) <= set(flow.parameters.properties)
    assert len(entry["description"]) > 20 and entry["tags"] and "schedules" in entry
    assert entry["work_pool"]["name"] == "local" and entry["version"] == "{{ version.stdout }}"
    limit = None if entry["name"] == "approve" else {"limit": 1, "collision_strategy": "ENQUEUE"}
    assert entry["concurrency_limit"] == limit


def test_every_shipped_recipe_is_deployed_with_a_schedule() -> None:
    shipped = {path.stem for path in (ROOT / "recipes").glob("*.yaml")}
    assert set(TRAININGS) == shipped
    for name, entry in TRAININGS.items():
        assert entry["parameters"] == {"recipe": name}
        assert [schedule["slug"] for schedule in entry["schedules"]] == ["nightly"]


def test_upkeep_runs_by_itself_as_the_page_says() -> None:
    """A table of docs/operations.md: who believes it must not be surprised by what is deleted, or is not."""
    upkeep = {entry["name"]: entry for entry in DEPLOYMENTS if entry["tags"] == ["upkeep"] and entry["schedules"]}
    assert {name: entry["schedules"][0]["slug"] for name, entry in upkeep.items()} == {
        "reconcile": "every-15-minutes", "maintain": "weekly", "backup": "daily",
    }  # fmt: skip
    page = (ROOT / "docs" / "operations.md").read_text()
    for name, entry in upkeep.items():
        (schedule,) = entry["schedules"]
        assert schedule.get("active", True) and schedule["timezone"] == "UTC"
        parameters = yaml.safe_dump(entry["parameters"], default_flow_style=True).strip("{}\n")
        assert f"| `{name}/{name}` | `{schedule['cron']}` | `{parameters}` |" in page
    assert not upkeep["maintain"]["parameters"].get("apply"), "a store that nobody looked at is not cleaned up"
    assert upkeep["reconcile"]["parameters"] == {"apply": True}
    assert upkeep["backup"]["parameters"] == {"keep": 14}


def test_infrastructure_is_written_once_and_both_pools_are_there() -> None:
    assert {pool["name"] for pool in DOCUMENT["definitions"]["infrastructure"]} == {"local", "kubernetes"}
    text = (ROOT / "prefect.yaml").read_text()
    assert text.count("name: local") == 1 and text.count("name: kubernetes") == 1


def test_every_parameter_is_described_in_its_form() -> None:
    from prefect.flows import load_flow_from_entrypoint
    from prefect.utilities.callables import parameter_schema

    for entrypoint in {entry["entrypoint"] for entry in DEPLOYMENTS}:
        schema = parameter_schema(load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False))
        for name, field in schema.properties.items():
            assert field.get("description"), f"{entrypoint}: {name}"


@pytest.fixture
def pool(prefect_api: str) -> Iterator[str]:
    from deployments.pools import make_process_pool

    make_process_pool()
    assert not make_process_pool(), "a second time it is left as it is"
    yield prefect_api


def deployed(api: str) -> tuple[subprocess.CompletedProcess[str], Any]:
    """On a terminal of its own, where Prefect asks whatever it wants to ask; nobody answers."""
    line = [sys.executable, "-m", "prefect", "deploy", "--all"]
    terminal = f"import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn({line!r})))"
    environment = {**os.environ, "PREFECT_API_URL": api, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    done = subprocess.run(
        [sys.executable, "-c", terminal],
        cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    found = httpx.post(f"{api}/deployments/filter", json={}, timeout=60).json()
    ours = [entry for entry in found if entry["entrypoint"] in {known["entrypoint"] for known in DEPLOYMENTS}]
    return done, sorted((without_times(entry) for entry in ours), key=lambda entry: str(entry["name"]))


def without_times(value: Any) -> Any:
    if isinstance(value, list):
        return [without_times(item) for item in value]
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if key not in ("updated", "status")}
    return value


@pytest.mark.long
def test_deploying_asks_nothing_and_changes_nothing_the_second_time(pool: str) -> None:
    done, first = deployed(pool)
    assert done.returncode == 0, done.stdout
    assert {entry["name"] for entry in first} >= {entry["name"] for entry in DEPLOYMENTS}
    done, second = deployed(pool)
    assert done.returncode == 0, done.stdout
    assert "?" not in done.stdout.replace("?deployment", "")
    assert json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)
    by_name = {entry["name"]: entry for entry in second}
    assert by_name["wine"]["version"] and "{{" not in by_name["wine"]["version"]
    assert by_name["wine"]["global_concurrency_limit"]["limit"] == 1
    assert str(ROOT) not in json.dumps(second), "a machine's path in a deployment holds for that machine alone"
