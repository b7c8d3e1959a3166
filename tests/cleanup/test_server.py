"""Behind an MLflow server: what its API allows, what changes between plan and deed, and the rest said."""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from onerun.cleanup.maintenance import carry_out, planned
from onerun.cleanup.summary import summarise
from onerun.config.loading import load_policy
from onerun.domain.cleanup.plan import Plan
from onerun.domain.cleanup.result import Result
from onerun.store.protocol import open_store
from onerun.store.server.protections import Rechecker
from onerun.tracking.runs import client
from tests.cleanup.conftest import DAY, texts
from tests.servers import MlflowServer

NOW = int(time.time() * 1000)
PARENT = "mlflow.parentRunId"


@pytest.fixture
def name(mlflow_server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Returns: what this test calls its experiments and models; the server is everybody's."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.uri)
    monkeypatch.chdir(tmp_path)
    return tmp_path.name


def make(experiment: str, days: float, **tags: str) -> str:
    mlflow, ended = client(), NOW - int(days * DAY)
    run = mlflow.create_run(experiment, start_time=ended, tags=tags).info.run_id
    mlflow.set_terminated(run, "FINISHED", ended)
    return str(run)


def clean_up(
    name: str, action: str = "soft_delete", meanwhile: Callable[[], object] = lambda: None
) -> tuple[Plan, Result]:
    """Args: meanwhile: what somebody does between plan and deed."""
    rules = f"action: {action}\nkeep: {{last: 0}}\nselect: {{experiments: ['{name}*']}}\n"
    with planned(load_policy(rules), frozenset()) as what:
        meanwhile()
        return what.plan, carry_out(what, yes_really=True)


def register(name: str, source: str, run_id: str | None = None) -> None:
    client().create_registered_model(name)
    model = source.removeprefix("models:/") if source.startswith("models:/m-") else None
    client().create_model_version(name, source, run_id, model_id=model)


@pytest.mark.slow
def test_a_server_deletes_so_that_it_can_be_restored(name: str) -> None:
    experiment = client().create_experiment(name)
    old, pinned, young = make(experiment, 40), make(experiment, 40, pin="1"), make(experiment, 3)
    parent = make(experiment, 40)
    make(experiment, 3, **{PARENT: parent})
    registered = make(experiment, 40)
    register(name, f"runs:/{registered}/model", registered)
    late = make(experiment, 40)
    policy = load_policy(
        f"action: hard_delete\nkeep: {{last: 0}}\nselect: {{experiments: ['{name}']}}\n"
    )
    copied = client().create_model_version(name, f"models:/{name}/1")
    places = {version.title: place for version, place in open_store().version_places()}
    assert (
        places.pop(f"{name} version 1") == f"{client().get_run(registered).info.artifact_uri}/model"
    )
    assert f"{name} version {copied.version}" in places, "though nothing says where its files are"
    told = summarise(files=False).model_dump(mode="json")
    names = {version.model for version, _ in open_store().version_places()}
    assert (told["registered_models"], told["versions"]) == (len(names), len(places) + 1)
    with planned(policy, frozenset()) as what:
        assert what.policy.action == "soft_delete"
        assert any(
            "no further: for hard_delete run this where the database can be reached" in note
            for note in what.notes
        )
        assert {item.id for item in what.plan.items} == {old, late}
        assert {kept.id for kept in what.plan.skipped} == {pinned, parent, registered}
        client().set_tag(late, "pin", "true")
        result = carry_out(what, yes_really=True)
    assert (result.done, texts(result.skipped)) == (1, {late: "tag pin"})
    left = {run.info.run_id for run in client().search_runs([experiment])}
    assert young in left
    assert old not in left
    client().restore_run(old)


def in_database(server: MlflowServer, statement: str, *values: str) -> None:
    """What the API does not do."""
    with sqlite3.connect(server.folder / "server.db", timeout=60) as database:
        database.execute(statement, values)


def erase(server: MlflowServer, run: str) -> None:
    """As a clean-up of the server's own database would."""
    for table in ("tags", "runs"):
        in_database(server, f"DELETE FROM {table} WHERE run_uuid = ?", run)


@pytest.mark.slow
def test_what_is_wrong_behind_a_server_is_told(
    name: str, mlflow_server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = summarise(files=False).model_dump(mode="json")
    mlflow = client()
    experiment = mlflow.create_experiment(name)
    run, gone = make(experiment, 3), make(experiment, 3)
    for key in ("depth", "Depth"):
        mlflow.log_param(run, key, "3")
    mlflow.set_tag(run, "depth:attempt2", "4")
    kept, orphan, lost = (
        mlflow.create_logged_model(experiment, "m", each) for each in (run, gone, run)
    )
    for part, source in (
        ("kept", f"models:/{kept.model_id}"), ("lost", f"models:/{lost.model_id}"), ("run", f"runs:/{run}/model"),
        ("gone", f"runs:/{gone}/model"),
    ):  # fmt: skip
        register(f"{name}-{part}", source, gone if part == "gone" else run)
    register(f"{name}-copy", f"models:/{name}-kept/1")
    erase(mlflow_server, gone)
    mlflow.delete_logged_model(lost.model_id)
    in_database(
        mlflow_server,
        "INSERT INTO registered_model_aliases (name, alias, version) VALUES (?, 'old', 7)",
        f"{name}-kept",
    )
    told = summarise(files=False).model_dump(mode="json")
    assert (told["versions"], told["registered_models"]) == (
        before["versions"] + 5, before["registered_models"] + 5
    )  # fmt: skip
    monkeypatch.setenv(
        "MLFLOW_ARTIFACTS_DESTINATION", str(mlflow_server.folder / "server-artifacts")
    )
    with planned(load_policy("action: soft_delete\n"), frozenset()) as what:
        found = {(each.kind, each.id): each.cause for each in what.findings}
    ours = {
        key: cause
        for key, cause in found.items()
        if key[1].startswith(name) or key[1] in (run, orphan.model_id)
    }
    places = [
        ours.pop(("version-without-files", f"{name}-{part} version 1"))
        for part in ("kept", "copy", "run")
    ]
    assert all("there is nothing at mlflow-artifacts:/" in place for place in places), places
    assert ours == {
        ("duplicate-parameter", run): "2 of them: Depth, depth",
        ("conflicting-parameter", run): "depth was 3, and 4 at attempt 2",
        ("model-without-run", orphan.model_id): f"there is no run {gone}",
        ("alias-to-nothing", f"{name}-kept@old"): "there is no version 7",
        ("version-without-files", f"{name}-lost version 1"): "what it was made of is missing",
        ("version-without-files", f"{name}-gone version 1"): "what it was made of is missing",
    }


@pytest.mark.slow
def test_who_was_quicker_ends_nothing(name: str) -> None:
    """The API has no lock: another machine may clean up the same server."""
    from mlflow.exceptions import MlflowException

    experiment = client().create_experiment(name)
    run, other = make(experiment, 40), make(experiment, 40)
    rules = load_policy(
        f"action: soft_delete\nkeep: {{last: 0}}\nselect: {{experiments: ['{name}']}}\n"
    )
    with planned(rules, frozenset()) as what:
        items = [item for share in what.items for item in share.items]

    def too_late(run: str) -> None:
        client().delete_run(run)  # as if somebody else had done it since our look
        client().set_tag(run, "a", "b")

    look = Rechecker(rules, {run, other}, {})
    assert texts(look.carry_out([item for item in items if item.id == run], too_late)) == {
        run: "is deleted now"
    }
    with pytest.raises(MlflowException):  # what is not explained is not hidden
        look.carry_out(
            [item for item in items if item.id == other], lambda run: client().set_tag(run, "", "")
        )
