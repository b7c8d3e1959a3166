"""What is wrong in a store is found by kind, with its place, size and cause; nothing else is."""

import contextlib
import shutil
import sqlite3
import time
from pathlib import Path

from onerun.cleanup.inspection import examine
from onerun.cleanup.summary import summarise
from onerun.store.protocol import open_store
from onerun.tracking.runs import client, log_params
from tests.cleanup.conftest import MakeRun, log_model

NOW = int(time.time() * 1000)


def execute(*statements: str) -> None:
    """As somebody would who knows better than foreign keys."""
    with contextlib.closing(sqlite3.connect("mlflow.db")) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def test_a_sound_store_has_no_troubles(experiment: str, make_run: MakeRun) -> None:
    log_model(make_run(3, NOW), register="prices")
    client().set_registered_model_alias("prices", "champion", "1")
    assert examine(open_store()) == []


def test_every_kind_is_found(experiment: str, make_run: MakeRun, tmp_path: Path) -> None:
    orphan, deleted, twice = make_run(3, NOW), make_run(3, NOW), make_run(3, NOW)
    lonely = log_model(make_run(3, NOW))
    registered = log_model(make_run(3, NOW), register="prices")
    client().set_registered_model_alias("prices", "champion", "1")
    log_params(twice, {"Depth": 3, "width": 1})
    log_params(twice, {"width": 2}, attempt=2)
    client().delete_run(deleted)
    houses = tmp_path / "artifacts" / "houses"
    for name in ("a" * 32, f"models/m-{'b' * 32}"):
        (houses / name).mkdir(parents=True)
        (houses / name / "x").write_bytes(b"x" * 7)
    (houses / "notes").mkdir()  # somebody's: no id, no trouble
    shutil.rmtree(houses / "models" / registered)
    gone = client().create_experiment(
        "gone", artifact_location=(tmp_path / "artifacts" / "gone").as_uri()
    )
    lost = make_run(3, NOW, experiment=gone)
    client().delete_experiment(gone)
    execute(
        f"UPDATE runs SET experiment_id = 99 WHERE run_uuid = '{orphan}'",
        f"UPDATE logged_models SET source_run_id = '{'c' * 32}' WHERE model_id = '{lonely}'",
        "UPDATE registered_model_aliases SET version = 7",
    )
    findings = examine(open_store())
    found = {(finding.kind, Path(finding.id).name, finding.bytes) for finding in findings}
    without = {"path": {"alias-to-nothing"}, "age": {"alias-to-nothing", "version-without-files"}}
    for key, kinds in without.items():
        assert {each.kind for each in findings if each.as_json(NOW)[key] is None} == kinds, key
    places = {finding.kind: finding.path for finding in findings}
    assert places["run-without-experiment"] == (houses / orphan / "artifacts").as_uri()
    assert (
        places["version-without-files"] == (houses / "models" / registered / "artifacts").as_uri()
    )
    assert found == {
        ("run-without-experiment", orphan, 1000),
        ("model-without-run", lonely, 500),
        ("deleted-run-files", deleted, 1000),
        ("deleted-run-files", lost, 1000),
        ("deleted-experiment-files", "gone", 1000),
        ("prefix-without-owner", "a" * 32, 7),
        ("prefix-without-owner", f"m-{'b' * 32}", 7),
        ("version-without-files", "prices version 1", 0),
        ("alias-to-nothing", "prices@champion", None),
        ("duplicate-parameter", twice, None),
        ("conflicting-parameter", twice, None),
    }


def test_what_lies_in_anothers_folder_has_an_owner_all_the_same(
    experiment: str, make_run: MakeRun, tmp_path: Path
) -> None:
    """Two experiments may share a folder: each must see that the other's runs are somebody's."""
    shared = client().create_experiment(
        "shared", artifact_location=(tmp_path / "artifacts" / "houses").as_uri()
    )
    make_run(40, NOW, experiment=shared)
    log_model(make_run(40, NOW))
    assert examine(open_store()) == []


def test_a_summary_counts(experiment: str, make_run: MakeRun) -> None:
    make_run(3, NOW, "FAILED")
    client().delete_run(make_run(3, NOW))
    log_model(make_run(3, NOW), register="prices")
    told = summarise().model_dump(mode="json")
    assert (told["experiments"], told["runs"]) == (
        {"active": 2},
        {"FAILED": 1, "deleted": 1, "FINISHED": 1},
    )
    assert (told["logged_models"], told["registered_models"], told["versions"], told["bytes"]) == (
        1,
        1,
        1,
        3500,
    )
    assert [trouble["kind"] for trouble in told["troubles"]] == ["deleted-run-files"]
    assert summarise(files=False).model_dump(mode="json")["bytes"] is None
