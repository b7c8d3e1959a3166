"""Back up and restore: a comparison through MLflow's API finds no difference; again changes nothing (P4)."""

import shutil
import sqlite3
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from onerun.archive import Selection, back_up, restore
from onerun.config.mistakes import Mistakes
from tests.archive.conftest import Store
from tests.archive.everything import everything


def path_of(client: MlflowClient, run_id: str) -> Path:
    """MLflow itself remembers for the whole process where a run's files lie, and tests share their runs' ids."""
    return Path(client.get_run(run_id).info.artifact_uri.removeprefix("file://"))


def forget(store: Store, run_id: str) -> None:
    """What `mlflow gc` does to a run, files of its logged models included."""
    client = MlflowClient(store.uri)
    run = client.get_run(run_id)
    SqlAlchemyStore(store.uri, str(store.files))._hard_delete_run(run_id)
    shutil.rmtree(run.info.artifact_uri.removeprefix("file://"))


def test_p4_all_of_it_into_an_empty_store(
    store: Store, empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(store.uri)
    assert len(before) == 4 + 6 + 6 + 1, (
        "the default experiment and ours, runs, logged models, the registered model"
    )
    archive = back_up(Selection(), "backups", "daily")
    assert archive.counts["run"] == 6
    assert archive.counts["files"] == 18
    shutil.rmtree(store.files)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", empty)
    planned = restore(archive.uri)
    assert not planned.applied
    assert planned.new == 18 + sum(
        archive.counts[kind] for kind in archive.counts if "file" not in kind
    )
    assert not store.files.exists()
    done = restore(archive.uri, apply=True)
    assert (done.found, done.bytes) == (planned.found, planned.bytes)
    assert everything(empty) == before
    again = restore(archive.uri, apply=True)
    assert (again.new, again.differ) == (0, 0)
    assert everything(empty) == before


def test_p4_a_store_whose_default_experiment_nobody_used(
    store: Store, empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(store.uri)
    archive = back_up(Selection(), "backups", "daily")
    assert everything(empty)  # MLflow makes its default experiment when it first looks
    monkeypatch.setenv("MLFLOW_TRACKING_URI", empty)
    restore(archive.uri, apply=True)
    assert everything(empty) == before


@pytest.mark.parametrize("number", [0, 1, 2])
def test_p4_a_run_comes_back(store: Store, number: int) -> None:
    before = everything(store.uri)
    run_id = next(iter(store.runs.values()))[number]
    archive = back_up(Selection(runs=(run_id,)), "backups", "clean-up")
    assert archive.counts["run"] == 1
    forget(store, run_id)
    assert f"run {run_id}" not in everything(store.uri)
    done = restore(archive.uri, apply=True)
    assert done.found["run"] == {"new": 1}
    assert done.found["experiment"] == {"same": 1}
    assert done.differ == 0
    assert everything(store.uri) == before


def test_p4_an_experiment_comes_back_into_an_empty_store(
    store: Store, empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment, runs = next(iter(store.runs.items()))
    ours = [f"experiment {experiment}", *(f"run {run}" for run in runs)]
    before = {key: value for key, value in everything(store.uri).items() if key in ours}
    archive = back_up(Selection(), "backups", "daily")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", empty)
    restore(archive.uri, Selection(experiments=(experiment,)), apply=True)
    after = everything(empty)
    assert {key: value for key, value in after.items() if key in ours} == before
    assert sum(key.startswith("run ") for key in after) == 3
    assert not any(key.startswith("registered") for key in after)


def test_p4_a_registered_model_brings_what_it_stands_on(
    store: Store, empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(store.uri)
    archive = back_up(Selection(models=("houses",)), "backups", "models")
    assert archive.counts["run"] == 2
    monkeypatch.setenv("MLFLOW_TRACKING_URI", empty)
    restore(archive.uri, apply=True)
    after = everything(empty)
    assert after["registered houses"] == before["registered houses"]
    assert after.items() <= {**before, "experiment 0": after.get("experiment 0")}.items()
    assert sum(key.startswith("model ") for key in after) == 2


def test_what_differs_is_told_and_left(store: Store) -> None:
    archive = back_up(Selection(), "backups", "daily")
    run_id = next(iter(store.runs.values()))[0]
    client = MlflowClient(store.uri)
    client.set_tag(run_id, "note", "changed since")
    (path_of(client, run_id) / "plots/a b/ü.txt").write_text("another report")
    changed = everything(store.uri)
    done = restore(archive.uri, apply=True)
    assert done.found["run"] == {"same": 5, "differs": 1}
    assert done.found["files"] == {"same": 17, "differs": 1}
    assert any(f"run {run_id}" in words and "tags" in words for words in done.differing)
    assert any("ü.txt" in words for words in done.differing)
    assert everything(store.uri) == changed


def test_what_differs_is_overwritten_when_asked(store: Store) -> None:
    before = everything(store.uri)
    archive = back_up(Selection(), "backups", "daily")
    run_id = next(iter(store.runs.values()))[0]
    client = MlflowClient(store.uri)
    client.set_tag(run_id, "note", "changed since")
    client.log_metric(run_id, "loss", 7, step=99)
    (path_of(client, run_id) / "plots/a b/ü.txt").write_text("another report")
    client.set_experiment_tag(next(iter(store.runs)), "team", "sea")
    client.delete_registered_model_alias("houses", "champion")
    restore(archive.uri, apply=True, overwrite=True)
    assert everything(store.uri) == before


def test_a_deleted_version_comes_back_without_touching_the_others(store: Store) -> None:
    before = everything(store.uri)["registered houses"]["versions"]
    archive = back_up(Selection(models=("houses",)), "backups", "models")
    client = MlflowClient(store.uri)
    client.delete_model_version("houses", "1")
    client.set_registered_model_tag("houses", "onerun.move.2", "{}")
    done = restore(archive.uri, apply=True)
    assert done.found["model-version"] == {"new": 1, "same": 1}
    assert done.found["registered-model"] == {"differs": 1}
    after = MlflowClient(store.uri).get_registered_model("houses")
    assert "onerun.move.2" in after.tags
    assert everything(store.uri)["registered houses"]["versions"] == before


def test_the_name_of_an_experiment_is_taken(
    store: Store, empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = back_up(Selection(), "backups", "daily")
    other = MlflowClient(empty)
    other.create_experiment("something else")
    other.create_experiment("houses 1")
    other.delete_experiment(other.create_experiment("gone"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", empty)
    done = restore(archive.uri, apply=True)
    assert (
        "experiment 1 is 'something else' here, not 'houses 0': it was left out" in done.differing
    )
    assert done.found["run"] == {"differs": 3, "new": 3}
    runs = {key for key in everything(empty) if key.startswith("run ")}
    assert runs == {f"run {run}" for run in store.runs["2"]}


def test_the_name_of_an_experiment_belongs_to_another(
    store: Store, empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = back_up(Selection(experiments=("2",)), "backups", "daily")
    MlflowClient(empty).create_experiment("houses 1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", empty)
    done = restore(archive.uri, apply=True)
    assert (
        "experiment 2: its name 'houses 1' belongs to experiment 1 now; it was left out"
        in done.differing
    )
    assert done.new == 0
    assert not [key for key in everything(empty) if key.startswith(("run ", "model "))]


def test_files_go_below_another_root(
    store: Store, empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(store.uri)
    archive = back_up(Selection(), "backups", "daily")
    shutil.rmtree(store.files)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", empty)
    done = restore(archive.uri, apply=True, artifacts="else where")
    assert done.places[0] == str(tmp_path / "else where" / "0")
    assert not store.files.exists()
    after = everything(empty)
    for key in before:
        if key.startswith(("run ", "model ")):
            assert after[key]["files"] == before[key]["files"] != {}
    run = MlflowClient(empty).get_run(store.runs["1"][0])
    assert run.info.artifact_uri.startswith((tmp_path / "else where" / "1").as_uri())
    assert (
        tmp_path / "else where" / "1" / run.info.run_id / "artifacts" / "plots/a b/ü.txt"
    ).read_text() == "report of 0"
    assert restore(archive.uri, artifacts="else where").new == 0
    again = restore(archive.uri)
    assert again.found["files"] == {"same": 18}, (
        "records that are there keep their files where the store says"
    )


def lies_elsewhere(store: Store, run_id: str, folder: Path) -> None:
    """As when the experiment's place was changed since: the run's files stay where they were."""
    path_of(MlflowClient(store.uri), run_id).rename(folder)
    with sqlite3.connect(store.uri.removeprefix("sqlite:///")) as database:
        database.execute(
            "UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", [folder.as_uri(), run_id]
        )


def test_p4_a_run_whose_files_lie_elsewhere_and_were_left_comes_back(
    store: Store, tmp_path: Path
) -> None:
    far, near = store.runs["1"][:2]
    lies_elsewhere(store, far, tmp_path / "elsewhere")
    before = everything(store.uri)
    archive = back_up(Selection(runs=(far, near)), "backups", "clean-up")
    for run_id in (far, near):
        SqlAlchemyStore(store.uri, str(store.files))._hard_delete_run(run_id)
    shutil.rmtree(store.files / "e0" / near)
    done = restore(archive.uri, apply=True)
    assert (done.found["run"], done.differ, done.found["files"]["same"] > 0) == (
        {"new": 2},
        0,
        True,
    )
    assert everything(store.uri) == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_run_whose_files_elsewhere_are_not_as_they_were_is_left_out_and_keeps_nobody(
    store: Store, empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    far, others = store.runs["1"][0], [*store.runs["1"][1:], *store.runs["2"]]
    elsewhere = tmp_path / "elsewhere"
    lies_elsewhere(store, far, elsewhere)
    archive = back_up(Selection(), "backups", "daily")
    before = everything(store.uri)
    (elsewhere / "empty.txt").unlink()
    there = sorted(elsewhere.rglob("*"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", empty)
    for _ in range(2):
        done = restore(archive.uri, apply=True, overwrite=overwrite)
        (words,) = [words for words in done.differing if far in words]
        assert (
            f"run {far}: its files are not below its experiment's (at {elsewhere.as_uri()}, and not all"
            in words
        )
        assert done.found["run"]["differs"] == 1
    after = everything(empty)
    assert {f"run {run}" for run in others} == {key for key in after if key.startswith("run ")}
    assert all(after[f"run {run}"] == before[f"run {run}"] for run in others)
    assert sum(key.startswith("model ") for key in after) == 5, (
        "what the run logged is left out with it"
    )
    assert sorted(elsewhere.rglob("*")) == there
    assert restore(archive.uri, Selection(runs=(far,)), apply=True, artifacts="moved").found[
        "run"
    ] == {"new": 1}
    assert everything(empty)[f"run {far}"]["files"] == before[f"run {far}"]["files"]


def test_a_data_set_that_was_made_anew(store: Store) -> None:
    """The store gave the same table another id since; the run that comes back refers to that one."""
    from mlflow.entities import Dataset, DatasetInput

    experiment, runs = next(iter(store.runs.items()))
    archive = back_up(Selection(experiments=(experiment,)), "backups", "clean-up")
    before = everything(store.uri)
    for run_id in runs:
        forget(store, run_id)
    with sqlite3.connect(store.uri.removeprefix("sqlite:///")) as database:
        database.execute(
            "DELETE FROM inputs WHERE source_type = 'DATASET' AND destination_id NOT IN (SELECT run_uuid FROM runs)"
        )
        database.execute("DELETE FROM datasets WHERE experiment_id = ?", [experiment])
    client = MlflowClient(store.uri)
    fresh = client.create_run(experiment).info.run_id
    client.log_inputs(fresh, [DatasetInput(Dataset("table", "digest1", "local", '{"uri": "x"}'))])
    restore(archive.uri, apply=True)
    after = everything(store.uri)
    after.pop(f"run {fresh}")
    assert after == before


@pytest.mark.slow
def test_an_archive_of_more_runs_than_a_header_could_name(store: Store) -> None:
    count, experiment = 30_000, store.runs["1"][0]
    with sqlite3.connect(store.uri.removeprefix("sqlite:///")) as database:
        database.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
            "INSERT INTO runs (run_uuid, name, experiment_id, status, lifecycle_stage, start_time) "
            "SELECT printf('%032x', i), 'run ' || i, (SELECT experiment_id FROM runs WHERE run_uuid = ?), 'FINISHED', "
            "'active', 1 FROM n",
            (count, experiment),
        )
    archive = back_up(
        Selection(runs=tuple(f"{number:032x}" for number in range(1, count + 1))),
        "backups",
        "daily",
    )
    assert archive.counts["run"] == count
    assert restore(archive.uri).found["run"] == {"same": count}


@pytest.mark.parametrize(
    ("selection", "word"),
    [
        (Selection(runs=("nope",)), "run nope"),
        (Selection(experiments=("77",)), "experiment 77"),
        (Selection(models=("house",)), "did you mean houses"),
    ],
)
def test_what_is_not_there_is_a_mistake(store: Store, selection: Selection, word: str) -> None:
    with pytest.raises(Mistakes, match=word):
        back_up(selection, "backups", "daily")
    assert not list(Path("backups").iterdir())
    archive = back_up(Selection(), "backups", "daily")
    with pytest.raises(Mistakes, match=word):
        restore(archive.uri, selection)


def test_a_store_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(Mistakes, match=r"none\.db does not exist"):
        back_up(Selection(), str(tmp_path / "backups"), "daily")
    assert not list(tmp_path.iterdir())
