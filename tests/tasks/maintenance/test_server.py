"""Behind an MLflow server: what its API allows, and the rest said."""

import time
from pathlib import Path

import pytest

from settings.loading import load_policy
from tasks.maintain import carry_out, planned
from tasks.maintenance.stores import open_store
from tasks.summarise import summarise
from tasks.tracking.runs import client
from tests.servers import MlflowServer
from tests.tasks.maintenance.conftest import DAY

NOW = int(time.time() * 1000)


def make(experiment: str, days: float, **tags: str) -> str:
    mlflow, ended = client(), NOW - int(days * DAY)
    run = mlflow.create_run(experiment, start_time=ended, tags=tags).info.run_id
    mlflow.set_terminated(run, "FINISHED", ended)
    return str(run)


@pytest.mark.slow
def test_a_server_deletes_so_that_it_can_be_restored(
    mlflow_server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.uri)
    monkeypatch.chdir(tmp_path)
    experiment = client().create_experiment(tmp_path.name)
    old, pinned, young = make(experiment, 40), make(experiment, 40, pin="1"), make(experiment, 3)
    parent = make(experiment, 40)
    make(experiment, 3, **{"mlflow.parentRunId": parent})
    registered = make(experiment, 40)
    client().create_registered_model(tmp_path.name)
    client().create_model_version(tmp_path.name, f"runs:/{registered}/model", registered)
    late = make(experiment, 40)
    policy = load_policy(f"action: hard_delete\nkeep: {{last: 0}}\nselect: {{experiments: ['{tmp_path.name}']}}\n")
    copied = client().create_model_version(tmp_path.name, f"models:/{tmp_path.name}/1")
    places = dict(open_store().version_places())
    assert places.pop(f"{tmp_path.name} version 1") == f"{client().get_run(registered).info.artifact_uri}/model"
    assert f"{tmp_path.name} version {copied.version}" in places, "though nothing says where its files are"
    told = summarise(files=False)
    names = {words.partition(" version ")[0] for words, _ in open_store().version_places()}
    assert (told["registered_models"], told["versions"]) == (len(names), len(places) + 1)
    with planned(policy, frozenset()) as what:
        assert what.policy.action == "soft_delete"
        assert any(
            "no further: for hard_delete run this where the database can be reached" in note for note in what.notes
        )
        assert {item.id for item in what.plan.items} == {old, late}
        assert {kept.id for kept in what.plan.kept} == {pinned, parent, registered}
        client().set_tag(late, "pin", "true")
        result = carry_out(what, yes_really=True)
    assert (result.done, result.left) == (1, {late: "tag pin"})
    left = {run.info.run_id for run in client().search_runs([experiment])}
    assert young in left
    assert old not in left
    client().restore_run(old)
