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
    """A table of docs/deployments.md: who believes it must not be surprised by what is deleted, or is not."""
    upkeep = {
        entry["name"]: entry
        for entry in DEPLOYMENTS
        if entry["tags"] == ["upkeep"] and entry["schedules"]
    }
    assert {name: entry["schedules"][0]["slug"] for name, entry in upkeep.items()} == {
        "reconcile": "every-15-minutes", "maintain": "weekly", "backup": "daily",
    }  # fmt: skip
    page = (ROOT / "docs" / "deployments.md").read_text()
    for name, entry in upkeep.items():
        (schedule,) = entry["schedules"]
        assert schedule["timezone"] == "UTC"
        assert ("active" in schedule) == (name == "backup"), (
            "a store is copied when a person says so"
        )
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


def test_the_pool_is_named_once_and_without_a_placeholder() -> None:
    """`prefect deploy --all` has no default for a placeholder, and ignores --pool."""
    assert DOCUMENT["definitions"]["infrastructure"] == [{"name": names.WORK_POOL}]
    text = (ROOT / "prefect.yaml").read_text()
    assert text.count(f"      name: {names.WORK_POOL} ") == 1 and "prefect.variables" not in text


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
    assert not make_process_pool(), "a second time all is left as it is"
    yield prefect_api


def test_a_schedule_that_is_off_is_so_at_first_alone(prefect_api: str) -> None:
    from prefect import flow

    from deployments.schedules import off_at_first

    assert off_at_first("at-first/once") == {"active": False}
    off = {
        entry["name"]: entry for entry in DEPLOYMENTS if "first.active" in str(entry["schedules"])
    }
    assert set(off) == {*TRAININGS, "backup"}, (
        "a sample trains, and a store is copied, when a person says so"
    )
    for name, entry in off.items():
        deployment = f"{entry['entrypoint'].rpartition('.')[2]}/{name}"
        assert entry["push"][-1] == {
            "deployments.schedules.off_at_first": {"id": "first", "deployment": deployment}
        }
        assert entry["push"][:-1] == DOCUMENT["push"]
        assert entry["schedules"][0]["active"] == "{{ first.active }}"
    others = [each for each in DEPLOYMENTS if each["name"] not in off]
    assert not [each["name"] for each in others if "active" in str(each["schedules"])]

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
    for name in TRAININGS:
        (nightly,) = by_name[name]["schedules"]
        assert nightly["slug"] == "nightly" and not nightly["active"]
    first = switched_by_a_person(pool, by_name)
    assert {entry["name"] for entry in first} >= {entry["name"] for entry in DEPLOYMENTS}
    done, second = deployed(pool)
    assert done.returncode == 0, done.stdout
    assert "?" not in done.stdout.replace("?deployment", "")
    assert json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)
    by_name = {entry["name"]: entry for entry in second}
    assert by_name["wine"]["version"] and "{{" not in by_name["wine"]["version"]
    assert by_name["wine"]["global_concurrency_limit"]["limit"] == 1
    assert {entry["work_pool_name"] for entry in second} == {names.WORK_POOL}
    assert {entry["name"] for entry in first if is_on(entry)} == {
        "california-housing", "reconcile",
    }  # fmt: skip


def is_on(entry: dict[str, Any]) -> bool:
    return any(schedule["active"] and schedule["slug"] != "none" for schedule in entry["schedules"])


def switched_by_a_person(api: str, by_name: dict[str, Any]) -> Any:
    """What a person does in the UI: one schedule on, one off, one more. Returns: the deployments as they are then."""
    for name, active in (("california-housing", True), ("maintain", False)):
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
