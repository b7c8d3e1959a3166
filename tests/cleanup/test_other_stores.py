"""The same on PostgreSQL, and with artifacts in an object store."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from onerun import storage
from onerun.cleanup.execution import apply
from onerun.cleanup.inspection import examine
from onerun.cleanup.planner import plan_store
from onerun.cleanup.quarantine import QUARANTINE, quarantine
from onerun.config.mistakes import Mistakes
from onerun.store.lock import MaintenanceUnderWay
from onerun.store.protocol import open_store
from onerun.tracking.runs import client
from tests import servers
from tests.cleanup.conftest import DAY, POSTGRESQL, log_model, texts
from tests.cleanup.test_clean_up import NOW, OF_RUNS, clean_up, planned, policy, rows, runs_left
from tests.cleanup.test_troubles import execute


def log_model_in_s3(run: str) -> str:
    model = client().create_logged_model(client().get_run(run).info.experiment_id, "model", run)
    storage.write_bytes_atomically(f"{model.artifact_location}/MLmodel", b"m")
    return str(model.model_id)


def make(experiment: str, days: float, **tags: str) -> str:
    mlflow, ended = client(), NOW - int(days * DAY)
    run = mlflow.create_run(experiment, start_time=ended, tags=tags).info
    mlflow.log_metric(run.run_id, "rmse", days)
    mlflow.log_param(run.run_id, "depth", "3")
    storage.write_bytes_atomically(
        storage.join(run.artifact_uri.removeprefix("file://"), "data.bin"), b"x" * 1000
    )
    mlflow.set_terminated(run.run_id, "FINISHED", ended)
    return str(run.run_id)


@pytest.mark.slow
@pytest.mark.parametrize("store_uri", [POSTGRESQL], indirect=True)
def test_postgres(experiment: str, tmp_path: Path) -> None:
    young = make(experiment, 3)
    before = {table: rows(table) for table in OF_RUNS}
    child = make(experiment, 45, **{"mlflow.parentRunId": make(experiment, 40)})
    gone, pinned, registered = make(experiment, 40), make(experiment, 40), make(experiment, 40)
    log_model(gone)
    store, rules = open_store(), policy("hard_delete")
    with pytest.raises(MaintenanceUnderWay), store.exclusive_lock(), open_store().exclusive_lock():
        pass
    plan, spool = plan_store(store, rules, set(), NOW)
    assert plan.to_delete == 5
    client().set_tag(pinned, "pin", "true")
    log_model(registered, register="prices")
    with spool, store.exclusive_lock():
        result = apply(store, rules, plan, spool)
    assert texts(result.skipped) == {pinned: "tag pin", registered: "prices version 1"}
    assert runs_left(experiment) == {young, pinned, registered}
    assert child not in runs_left(experiment)
    client().delete_tag(pinned, "pin")
    assert clean_up(policy("soft_delete")).done == 1
    assert runs_left(experiment, 1) == {young, registered}
    client().delete_model_version("prices", "1")
    client().restore_run(pinned)
    assert clean_up(rules).done == 2
    assert {table: rows(table) for table in OF_RUNS} == before
    assert {path.name for path in (tmp_path / "artifacts" / "houses").iterdir()} == {
        young,
        "models",
    }


def test_a_schema_that_is_not_known_stops_it(store_uri: str) -> None:
    from sqlalchemy import text

    with open_store().database.writing() as connection:  # type: ignore[attr-defined]
        connection.execute(text("UPDATE alembic_version SET version_num = 'ffffffffffff'"))
    with pytest.raises(Mistakes, match=r"made by a newer MLflow \(schema ffffffffffff\)"):
        open_store()


def test_what_is_no_store_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.db").write_text("no database, " * 1000)
    for uri, said in (
        (f"sqlite:///{tmp_path}/none.db", "does not exist"),
        (f"sqlite:///{tmp_path}/text.db", "cannot be read: file is not a database"),
        ("mysql://me@127.0.0.1/x", "supports SQLite and PostgreSQL, not mysql"),
    ):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        with pytest.raises(Mistakes, match=said):
            open_store()


@pytest.fixture
def in_a_bucket(store_uri: str, s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Yields: the id of an experiment whose artifacts lie in a bucket that is emptied afterwards."""
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", servers.S3_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", servers.S3_SECRET)
    storage.ensure_bucket("s3://maintenance")
    yield str(client().create_experiment("houses", artifact_location="s3://maintenance/houses"))
    storage.remove_below(
        "s3://maintenance", [path for path, _, _ in storage.walk("s3://maintenance")]
    )


@pytest.mark.long
def test_artifacts_in_an_object_store(in_a_bucket: str) -> None:
    experiment = in_a_bucket
    gone, young = make(experiment, 40), make(experiment, 3)
    for name in ("plot[1].png", "what*.txt"):
        storage.write_bytes_atomically(
            f"s3://maintenance/houses/{gone}/artifacts/{name}", b"x" * 10
        )
    rules = policy("hard_delete", "backups: {to: 's3://maintenance-backups/weekly'}\n")
    plan, _ = planned(rules)
    assert (plan.to_delete, plan.bytes) == (1, 1020)
    result = clean_up(rules)
    assert result.done == 1
    assert in_houses() == {young}
    assert gone not in runs_left(experiment)
    assert storage.exists(result.archive)
    assert storage.list_files("s3://maintenance-backups/weekly/journals") == []


def in_houses() -> set[str]:
    return {uri.split("/")[4] for uri, _ in storage.list_objects("s3://maintenance/houses")}


@pytest.mark.long
def test_what_nobody_owns_in_an_object_store_is_set_aside(in_a_bucket: str) -> None:
    experiment, place = in_a_bucket, "s3://maintenance/houses"
    young, model = make(experiment, 3), log_model_in_s3(make(experiment, 3))
    execute(f"UPDATE logged_models SET source_run_id = '{'e' * 32}'")
    files = {f"{'a' * 32}/artifacts/plot[1].png": b"nobody", f"{'a' * 32}/artifacts/deep/x": b"y"}
    for name, content in files.items():
        storage.write_bytes_atomically(f"{place}/{name}", content)
    findings, now = examine(open_store()), int(time.time() * 1000)
    assert {finding.kind for finding in findings} == {"prefix-without-owner", "model-without-run"}
    assert quarantine(open_store(), policy("hard_delete"), findings, before=now - DAY) == (0, []), (
        "too young"
    )
    storage.write_bytes_atomically(f"{place}/{QUARANTINE}/{'a' * 32}/artifacts/deep/x", b"z")
    moved, (note,) = quarantine(open_store(), policy("hard_delete"), findings, before=now + DAY)
    assert moved == 1
    assert f"{QUARANTINE}/{'a' * 32}/artifacts/deep/x holds something else" in note
    storage.remove(f"{place}/{QUARANTINE}/{'a' * 32}/artifacts/deep/x")
    assert quarantine(open_store(), policy("hard_delete"), findings, before=now + DAY)[0] == 1
    for name, content in files.items():
        assert storage.read_bytes(f"{place}/{QUARANTINE}/{name}") == content
    assert storage.read_bytes(f"{place}/{QUARANTINE}/models/{model}/artifacts/MLmodel") == b"m"
    assert [(finding.id, finding.bytes) for finding in examine(open_store())] == [(model, 0)], (
        "its record stays"
    )
    assert young in in_houses()
