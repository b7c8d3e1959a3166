"""prefect.yaml: complete, right, and deployed twice without a question or a change."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.pools import KUBERNETES, LOCAL
from deployments.schedules import ADDED
from onerun.domain import names
from tests.servers import asked

ROOT = Path(__file__).parents[2]
DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "prefect.yaml").read_text())
DEPLOYMENTS: list[dict[str, Any]] = DOCUMENT["deployments"]
SHELL = "prefect.deployments.steps.run_shell_script"
TRAININGS = {
    entry["name"]: entry for entry in DEPLOYMENTS if entry["entrypoint"] == "flows.train.train"
}


@pytest.mark.parametrize("entry", DEPLOYMENTS, ids=lambda entry: entry["name"])
def test_every_deployment_is_whole(entry: dict[str, Any]) -> None:
    from prefect.flows import load_flow_from_entrypoint

    module, _, name = entry["entrypoint"].rpartition(".")
    assert ":" not in entry["entrypoint"] and (ROOT / f"{module.replace('.', '/')}.py").exists()
    flow = load_flow_from_entrypoint(entry["entrypoint"], use_placeholder_flow=False)
    assert flow.fn.__name__ == name
    assert set(entry.get("parameters", {})) <= set(flow.parameters.properties)
    assert len(entry["description"]) > 20 and entry["tags"] and "schedules" in entry
    assert entry["work_pool"] in DOCUMENT["definitions"]["infrastructure"]
    assert entry["version"] == "{{ version.stdout }}"
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
    upkeep = {
        entry["name"]: entry
        for entry in DEPLOYMENTS
        if entry["tags"] == ["upkeep"] and entry["schedules"]
    }
    assert {name: entry["schedules"][0]["slug"] for name, entry in upkeep.items()} == {
        "reconcile": "every-15-minutes", "maintain": "weekly", "backup": "daily",
    }  # fmt: skip
    page = (ROOT / "docs" / "operations.md").read_text()
    for name, entry in upkeep.items():
        (schedule,) = entry["schedules"]
        assert schedule.get("active", True) and schedule["timezone"] == "UTC"
        parameters = yaml.safe_dump(entry["parameters"], default_flow_style=True).strip("{}\n")
        assert f"| `{name}/{name}` | `{schedule['cron']}` | `{parameters}` |" in page
    assert not upkeep["maintain"]["parameters"].get("apply"), (
        "a store that nobody looked at is not cleaned up"
    )
    assert upkeep["reconcile"]["parameters"] == {"apply": True}
    assert upkeep["backup"]["parameters"] == {"keep": 14}


def test_the_version_is_gits_or_what_the_image_was_made_of(tmp_path: Path) -> None:
    """Compose deploys from the image, which holds no .git."""
    ask = next(
        step[SHELL] for step in DOCUMENT["push"] if step.get(SHELL, {}).get("id") == "version"
    )

    def version(folder: Path, **more: str) -> str:
        variables = {**os.environ, "GIT_CEILING_DIRECTORIES": str(tmp_path.parent), **more}
        shown = subprocess.check_output(
            ask["script"], shell=ask["shell"], cwd=folder, env=variables, text=True
        )
        return shown.strip()

    commit = "0123456789abcdef0123456789abcdef01234567"
    assert version(tmp_path, ONERUN_COMMIT=commit) == commit
    assert version(tmp_path) == "unversioned"
    subprocess.run("git init -q && git -c user.name=x -c user.email=x commit -q --allow-empty -m x && git tag v7",
                   shell=True, cwd=tmp_path, check=True)  # fmt: skip
    assert version(tmp_path, ONERUN_COMMIT=commit) == "v7"


def test_infrastructure_is_written_once_and_both_pools_are_there() -> None:
    here = f"{{{{ prefect.variables.{names.VARIABLE_POOL} }}}}"
    assert [pool["name"] for pool in DOCUMENT["definitions"]["infrastructure"]] == [
        here,
        LOCAL,
        KUBERNETES,
    ]
    text = (ROOT / "prefect.yaml").read_text()
    assert [
        text.count(f"name: {name}\n") + text.count(f"name: {name} ") for name in (LOCAL, KUBERNETES)
    ] == [1, 1]


def test_every_parameter_is_described_in_its_form() -> None:
    from prefect.flows import load_flow_from_entrypoint
    from prefect.utilities.callables import parameter_schema

    for entrypoint in {entry["entrypoint"] for entry in DEPLOYMENTS}:
        schema = parameter_schema(load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False))
        for name, field in schema.properties.items():
            assert field.get("description"), f"{entrypoint}: {name}"


@pytest.fixture
def pool(prefect_api: str) -> Iterator[str]:
    from deployments.pools import make_what_is_missing

    make_what_is_missing()
    assert make_what_is_missing(KUBERNETES) == [], "a second time all is left as it is"
    yield prefect_api
    asked("DELETE", f"{prefect_api}/variables/name/{names.VARIABLE_POOL}")


def test_a_schedule_that_is_off_is_so_at_first_alone(prefect_api: str) -> None:
    from prefect import flow

    from deployments.schedules import off_at_first

    assert off_at_first("at-first/once") == {"active": False}
    (entry,) = [entry for entry in DEPLOYMENTS if "push" in entry]
    assert {"deployment": f"train/{entry['name']}", "id": "first"} in [
        step.get("deployments.schedules.off_at_first") for step in entry["push"]
    ]
    assert entry["schedules"][0]["active"] == "{{ first.active }}"
    assert not [
        each for each in DEPLOYMENTS if each is not entry and "active" in str(each["schedules"])
    ]

    @flow(name="at-first")
    def nothing() -> None: ...

    nothing.to_deployment("once").apply()
    assert off_at_first("at-first/once") == {}


def test_a_schedule_that_was_added_in_the_ui_is_kept(prefect_api: str) -> None:
    from deployments.schedules import keep_added

    flow = asked("POST", f"{prefect_api}/flows/", json={"name": "added"}).json()["id"]
    body = {"name": "to", "flow_id": flow, "entrypoint": "added.nothing"}
    deployment = asked("POST", f"{prefect_api}/deployments/", json=body).json()["id"]
    url = f"{prefect_api}/deployments/{deployment}/schedules"
    asked("POST", url, json=[{"schedule": {"cron": "0 12 * * *"}}]).raise_for_status()
    assert keep_added("others.") == {"kept": 0}
    assert asked("GET", url).json()[0]["slug"] is None
    assert keep_added("added.") == {"kept": 1} and keep_added("added.") == {"kept": 0}
    (schedule,) = asked("GET", url).json()
    assert (
        schedule["slug"] == f"{ADDED}{schedule['id']}"
        and schedule["schedule"]["cron"] == "0 12 * * *"
    )


def test_schedules_are_kept_however_many_deployments_there_are(
    prefect_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect's server tells 200 at once; here, one."""
    from deployments.schedules import keep_added
    from flows.checking import prefect_checks

    monkeypatch.setattr(prefect_checks, "PAGE", 1)
    flow = asked("POST", f"{prefect_api}/flows/", json={"name": "many"}).json()["id"]
    for name in ("first", "second", "third"):
        schedule = {"schedule": {"cron": "0 1 * * *"}}
        body = {
            "name": name,
            "flow_id": flow,
            "entrypoint": "many.nothing",
            "schedules": [schedule],
        }
        asked("POST", f"{prefect_api}/deployments/", json=body).raise_for_status()
    assert keep_added("many.") == {"kept": 3}


def test_the_server_says_where_deployments_go(pool: str) -> None:
    from deployments.pools import make_what_is_missing

    said = asked("GET", f"{pool}/variables/name/{names.VARIABLE_POOL}").json()
    assert said["value"] == LOCAL
    kinds = {
        name: asked("GET", f"{pool}/work_pools/{name}").json()["type"]
        for name in (LOCAL, KUBERNETES)
    }
    assert kinds == {LOCAL: "process", KUBERNETES: "kubernetes"}
    flow = asked("POST", f"{pool}/flows/", json={"name": "pinned"}).json()["id"]
    pinned = {
        "name": "to",
        "flow_id": flow,
        "work_pool_name": KUBERNETES,
        "job_variables": {"memory_limit": "2Gi"},
    }
    made = asked("POST", f"{pool}/deployments/", json=pinned)
    assert made.status_code == 201, "before its worker has come"
    asked(
        "DELETE", f"{pool}/deployments/{made.json()['id']}"
    ).raise_for_status()  # the doctor would miss one
    asked("DELETE", f"{pool}/variables/name/{names.VARIABLE_POOL}").raise_for_status()
    assert make_what_is_missing(KUBERNETES) == [
        f"the variable {names.VARIABLE_POOL} = {KUBERNETES}"
    ]


def deployed(api: str) -> tuple[subprocess.CompletedProcess[str], Any]:
    """On a terminal of its own, where Prefect asks whatever it wants to ask; nobody answers."""
    line = [sys.executable, "-m", "prefect", "deploy", "--all"]
    terminal = f"import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn({line!r})))"
    environment = {**os.environ, "PREFECT_API_URL": api, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    done = subprocess.run(
        [sys.executable, "-c", terminal],
        cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    return done, ours(api)


def ours(api: str) -> Any:
    """Returns: our deployments as the server has them, without the times at which they were written."""
    found = asked("POST", f"{api}/deployments/filter", json={}).json()
    known = {
        (entry["name"], entry["entrypoint"]) for entry in DEPLOYMENTS
    }  # other tests deploy the same flows
    written = [entry for entry in found if (entry["name"], entry["entrypoint"]) in known]
    for entry in written:
        for schedule in entry["schedules"]:
            schedule["slug"] = (
                "none" if (schedule["slug"] or ADDED).startswith(ADDED) else schedule["slug"]
            )
        entry["schedules"].sort(key=lambda schedule: str(schedule["slug"]))
    return sorted((without_times(entry) for entry in written), key=lambda entry: str(entry["name"]))


def without_times(value: Any) -> Any:
    if isinstance(value, list):
        return [without_times(item) for item in value]
    if isinstance(value, dict):
        return {
            key: without_times(item)
            for key, item in value.items()
            if key not in ("updated", "status")
        }
    return value


@pytest.mark.long
def test_deploying_asks_nothing_and_changes_nothing_the_second_time(pool: str) -> None:
    done, first = deployed(pool)
    assert done.returncode == 0, done.stdout
    by_name = {entry["name"]: entry for entry in first}
    (nightly,) = by_name["california-housing"]["schedules"]
    assert nightly["slug"] == "nightly" and not nightly["active"], "its table is not there yet"
    first = switched_by_a_person(pool, by_name)
    assert {entry["name"] for entry in first} >= {entry["name"] for entry in DEPLOYMENTS}
    done, second = deployed(pool)
    assert done.returncode == 0, done.stdout
    assert "?" not in done.stdout.replace("?deployment", "")
    assert json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)
    by_name = {entry["name"]: entry for entry in second}
    assert by_name["wine"]["version"] and "{{" not in by_name["wine"]["version"]
    assert by_name["wine"]["global_concurrency_limit"]["limit"] == 1
    assert {entry["work_pool_name"] for entry in second} == {LOCAL}
    assert str(ROOT) not in json.dumps(second), (
        "a machine's path in a deployment holds for that machine alone"
    )
    asked("PATCH", f"{pool}/variables/name/{names.VARIABLE_POOL}", json={"value": KUBERNETES})
    done, third = deployed(pool)
    assert done.returncode == 0, done.stdout
    assert {entry["work_pool_name"] for entry in third} == {KUBERNETES}, "on a cluster's server"


def switched_by_a_person(api: str, by_name: dict[str, Any]) -> Any:
    """What a person does in the UI: one schedule on, one off, one more. Returns: the deployments as they are then."""
    for name, active in (("california-housing", True), ("wine", False)):
        (schedule,) = by_name[name]["schedules"]
        url = f"{api}/deployments/{by_name[name]['id']}/schedules"
        asked("PATCH", f"{url}/{schedule['id']}", json={"active": active}).raise_for_status()
        if not active:
            more = {
                "schedule": {"cron": "0 12 * * *"},
                "active": True,
            }  # neither UI nor CLI sends a slug
            asked("POST", url, json=[more]).raise_for_status()
    return ours(api)
