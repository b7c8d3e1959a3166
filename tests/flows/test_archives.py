"""Backup, restore and rescue as commands: exit codes, plans, JSON; and as Prefect flows."""

import json
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from onerun.cli import main
from onerun.tracking.database import make_whole


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns: a database with one run that has one file."""
    folder = tmp_path_factory.mktemp("small")
    make_whole(f"sqlite:///{folder}/mlflow.db")
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.create_experiment("houses", artifact_location=(folder / "files").as_uri())
    run_id = client.create_run(experiment).info.run_id
    client.log_text(run_id, "good", "a.txt")
    client.set_terminated(run_id)
    return folder


@pytest.fixture
def store(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own with a copy of the database, named by the environment."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(small / "mlflow.db", tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return tmp_path


def test_there_and_back(
    store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["backup", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["archive"].startswith(f"{store}/.onerun/backups/store-")
    assert (made["counts"]["run"], made["counts"]["files"]) == (1, 1)
    assert main(["restore", made["archive"], "--verify"]) == 0
    assert "is whole" in capsys.readouterr().out
    shutil.copy(store / "mlflow.db", store / "other.db")
    (store / "mlflow.db").unlink()
    assert main(["restore", made["archive"]]) == 0
    assert "nothing was changed; --apply does it" in capsys.readouterr().out
    assert not (store / "mlflow.db").exists()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}/other.db")
    assert (
        main(
            [
                "restore",
                made["archive"],
                "--experiment",
                "houses",
                "--artifacts",
                "files",
                "--apply",
                "--json",
            ]
        )
        == 0
    )
    again = json.loads(capsys.readouterr().out)
    assert (again["status"], again["new"]) == ("done", 0)


def test_mistakes_and_damage(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backup", "--keep", "0"]) == 2
    assert main(["backup", "--experiment", "house"]) == 2
    assert "no experiment house" in (said := capsys.readouterr().err)
    assert "did you mean houses?" in said
    assert main(["restore", "nowhere.tar.gz"]) == 2
    (store / "x.tar.gz").write_bytes(b"damaged")
    assert main(["restore", "x.tar.gz", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["status"] == "failed"
    assert main(["rescue", "--from", "nowhere"]) == 2
    assert main(["rescue", "--from", "mlruns", "--apply"]) == 2
    assert main(["rescue", "--repair"]) == 2


def test_an_old_store_is_examined(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = store / "mlruns" / "1" / ("a" * 32)
    (run / "params").mkdir(parents=True)
    (run / "params" / "depth").write_text("3")
    assert main(["rescue", "--from", "mlruns"]) == 0
    said = capsys.readouterr().out
    assert "rebuilt      experiment 1/meta.yaml: missing" in said
    assert f"rebuilt      run 1/{'a' * 32}/meta.yaml: missing" in said
    assert "nothing was changed" in said
    assert not (store / "mlruns-rescue").exists()


def test_a_rescue_that_cannot_be_proven_ends_with_one(
    store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from onerun.rescue import workflow as doing

    run = store / "mlruns" / "1" / ("a" * 32)
    (run / "params").mkdir(parents=True)
    (run / "params" / "depth").write_text("3")
    monkeypatch.setattr(
        "mlflow.store.db.utils._initialize_tables",
        lambda engine: shutil.copyfile(store / "empty.db", engine.url.database),
    )
    _emptied(store / "mlflow.db", store / "empty.db")
    monkeypatch.setattr(doing.migration, "orphans", lambda _: {"runs without experiments": 2})
    assert main(["rescue", "--from", "mlruns", "--to", "sqlite:///new.db", "--apply"]) == 1
    assert "DIFFERENT: runs without experiments: 2" in capsys.readouterr().out
    assert not (store / "new.db").exists()
    assert (store / "mlruns-rescue" / "not-proven.db").exists()


def _emptied(source: Path, target: Path) -> None:
    import sqlite3

    shutil.copy(source, target)
    with sqlite3.connect(target) as database:
        for table in (
            "latest_metrics",
            "metrics",
            "params",
            "tags",
            "runs",
            "experiment_tags",
            "experiments",
        ):
            database.execute(f"DELETE FROM {table}")


def test_the_flows(store: Path, prefect_api: str) -> None:
    from flows.backup import backup
    from flows.restore import restore

    made = backup(to=str(store / "kept"), keep=2)
    assert made.status == "done"
    assert restore(made.archive).new == 0
    assert {"to", "keep", "experiments"} <= set(backup.parameters.properties)
    assert backup.parameters.properties["keep"]["anyOf"][0]["minimum"] == 1
