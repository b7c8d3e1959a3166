"""The same on PostgreSQL, and with artifacts in an object store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from settings.mistakes import Mistakes
from tasks import storage
from tasks.maintenance.applying import apply
from tasks.maintenance.planning import plan_store
from tasks.maintenance.stores import open_store
from tasks.tracking.runs import client
from tasks.tracking.tables.database import MaintenanceUnderWay
from tests import servers
from tests.tasks.maintenance.conftest import DAY, log_model
from tests.tasks.maintenance.test_clean_up import NOW, OF_RUNS, clean_up, planned, policy, rows, runs_left


@pytest.fixture
def on_postgres(postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Returns: the id of an experiment in a fresh database."""
    from sqlalchemy import create_engine, text

    address = f"postgresql+psycopg://{servers.POSTGRES_USER}:{servers.POSTGRES_PASSWORD}@{postgres}"
    admin = create_engine(f"{address}/postgres", isolation_level="AUTOCOMMIT")
    name = f"maintenance_{tmp_path.name.replace('-', '_')}".lower()[:60]
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{address}/{name}")
    yield str(client().create_experiment("houses", artifact_location=(tmp_path / "artifacts").as_uri()))
    admin.dispose()


def make(experiment: str, days: float, **tags: str) -> str:
    mlflow, ended = client(), NOW - int(days * DAY)
    run = mlflow.create_run(experiment, start_time=ended, tags=tags).info
    mlflow.log_metric(run.run_id, "rmse", days)
    mlflow.log_param(run.run_id, "depth", "3")
    storage.write_bytes_atomically(storage.join(run.artifact_uri.removeprefix("file://"), "data.bin"), b"x" * 1000)
    mlflow.set_terminated(run.run_id, "FINISHED", ended)
    return str(run.run_id)


@pytest.mark.slow
def test_postgres(on_postgres: str, tmp_path: Path) -> None:
    young = make(on_postgres, 3)
    before = {table: rows(table) for table in OF_RUNS}
    child = make(on_postgres, 45, **{"mlflow.parentRunId": make(on_postgres, 40)})
    gone, pinned, registered = make(on_postgres, 40), make(on_postgres, 40), make(on_postgres, 40)
    log_model(gone)
    store, rules = open_store(), policy("hard_delete")
    with pytest.raises(MaintenanceUnderWay), store.alone(), open_store().alone():
        pass
    plan, spool = plan_store(store, rules, set(), NOW)
    assert plan.going == 5
    client().set_tag(pinned, "pin", "true")
    log_model(registered, register="prices")
    with spool, store.alone():
        result = apply(store, rules, plan, spool)
    assert result.left == {pinned: "tag pin", registered: "prices version 1"}
    assert runs_left(on_postgres) == {young, pinned, registered}
    assert child not in runs_left(on_postgres)
    client().delete_tag(pinned, "pin")
    assert clean_up(policy("soft_delete")).done == 1
    assert runs_left(on_postgres, 1) == {young, registered}
    client().delete_model_version("prices", "1")
    client().restore_run(pinned)
    assert clean_up(rules).done == 2
    assert {table: rows(table) for table in OF_RUNS} == before
    assert {path.name for path in (tmp_path / "artifacts").iterdir()} == {young, "models"}


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
        ("mysql://me@127.0.0.1/x", "knows SQLite and PostgreSQL, not mysql"),
    ):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        with pytest.raises(Mistakes, match=said):
            open_store()


@pytest.mark.long
def test_artifacts_in_an_object_store(store_uri: str, s3_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", servers.S3_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", servers.S3_SECRET)
    storage.filesystem("s3://maintenance").mkdir("maintenance")
    experiment = client().create_experiment("houses", artifact_location="s3://maintenance/houses")
    gone, young = make(experiment, 40), make(experiment, 3)
    storage.write_bytes_atomically(f"s3://maintenance/houses/{'a' * 32}/artifacts/x", b"nobody")
    rules = policy("hard_delete", "backups: {to: 's3://maintenance-backups/weekly'}\n")
    plan, _ = planned(rules)
    assert (plan.going, plan.bytes) == (1, 1000)
    result = clean_up(rules)
    assert result.done == 1
    left = {uri.split("/")[4] for uri, _ in storage.list_objects("s3://maintenance/houses")}
    assert left == {young, "a" * 32}
    assert gone not in runs_left(experiment)
    assert storage.exists(result.archive)
    assert storage.listed("s3://maintenance-backups/weekly/journals") == []
