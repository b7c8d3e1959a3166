"""The platform as it is operated: PostgreSQL, an object store, workers, schedules, retries, kills and restarts."""

import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy
from mlflow.entities import Run

from deployments.stack.processes import children
from tests import servers
from tests.servers import POSTGRES_PASSWORD, POSTGRES_USER, S3_KEY, S3_SECRET
from tests.system.running import RunningStack, running, until

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
BUCKET = "onerun"
SCRIPT = """
import os, pathlib, time
import mlflow, pandas
from sklearn.dummy import DummyRegressor
train = pandas.read_parquet(os.environ["ONERUN_TRAIN_DATA"])
target = os.environ["ONERUN_TARGET"]
model = DummyRegressor().fit(train.drop(columns=[target]), train[target])
{more}
mlflow.sklearn.save_model(model, os.environ["ONERUN_MODEL_DIR"], skops_trusted_types=["sklearn.dummy.DummyRegressor"])
"""
RECIPE = """\
name: {name}
task: regression
data: {{source: "sklearn:diabetes", target: target}}
train: {{run_in: command, command: [python, "{script}"]}}
"""
SPOILS_EVALUATION_HERE = (
    "pathlib.Path(os.environ['ONERUN_MODEL_DIR']).parents[1].joinpath('evaluation').touch()"
)
SLOW = "time.sleep(25)"


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, s3_server: str, postgres: str
) -> Iterator[RunningStack]:
    """Prefect and MLflow on PostgreSQL, artifacts and snapshots in an object store."""
    engine = sqlalchemy.create_engine(
        f"postgresql+psycopg://{POSTGRES_USER}:{POSTGRES_PASSWORD}@{postgres}/postgres",
        isolation_level="AUTOCOMMIT",
    )
    with engine.connect() as connection:
        for name in ("prefect", "mlflow"):
            connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    keys = {
        "MLFLOW_S3_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": S3_KEY,
        "AWS_SECRET_ACCESS_KEY": S3_SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    account = f"{POSTGRES_USER}:{POSTGRES_PASSWORD}@{postgres}"
    with running(
        tmp_path_factory.mktemp("platform"),
        **keys,
        ONERUN_STORE=f"s3://{BUCKET}/data",
        MLFLOW_ARTIFACTS_DESTINATION=f"s3://{BUCKET}/mlflow",
        MLFLOW_BACKEND_STORE_URI=f"postgresql+psycopg://{account}/mlflow",
        PREFECT_SERVER_DATABASE_CONNECTION_URL=f"postgresql+asyncpg://{account}/prefect",
    ) as started:
        yield started


@pytest.fixture
def objects(stack: RunningStack, monkeypatch: pytest.MonkeyPatch) -> Any:
    from onerun.storage import filesystem

    for name in ("MLFLOW_S3_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, stack.environment[name])
    return filesystem(f"s3://{BUCKET}/x")


def recipe_with(folder: Path, name: str, more: str = "") -> str:
    script = folder / f"{name}.py"
    script.write_text(SCRIPT.format(more=more))
    return RECIPE.format(name=name, script=script)


def running_stage(stack: RunningStack, flow_run: UUID, stage: str) -> Run | None:
    """Returns: the flow run's MLflow run when `stage` is done in it."""
    found = stack.runs(flow_run)
    return found[0] if found and f"onerun.stage.{stage}" in found[0].data.tags else None


def test_a_schedule_fires_a_worker_trains_and_all_is_where_it_belongs(
    stack: RunningStack, objects: Any
) -> None:
    deployment = stack.ask("GET", "/deployments/name/train/wine")
    moment = (datetime.now(UTC) + timedelta(seconds=20)).isoformat()
    often = {
        "interval": 60,
        "anchor_date": moment,
        "timezone": "UTC",
    }  # a busy scheduler may come late for one moment
    schedules = f"/deployments/{deployment['id']}/schedules"
    (made,) = stack.ask("POST", schedules, json=[{"schedule": often, "slug": "in 20 seconds"}])
    asked = {
        "deployments": {"id": {"any_": [deployment["id"]]}},
        "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}},
    }
    (done, *_) = until(
        lambda: stack.ask("POST", "/flow_runs/filter", json=asked), "a scheduled training"
    )
    stack.ask("DELETE", f"{schedules}/{made['id']}")
    assert done["auto_scheduled"]
    (run,) = stack.runs(UUID(done["id"]))
    assert run.info.status == "FINISHED"
    version = stack.mlflow.get_model_version_by_alias("wine", "champion")
    assert run.info.run_id == version.run_id or int(version.version) > 1
    assert objects.find(f"{BUCKET}/mlflow/{run.info.experiment_id}/models"), (
        "the model is in the object store"
    )
    assert objects.find(f"{BUCKET}/data"), "and so is the snapshot"
    engine = sqlalchemy.create_engine(stack.environment["MLFLOW_BACKEND_STORE_URI"])
    with engine.connect() as connection:
        rows = connection.execute(
            sqlalchemy.text("SELECT status FROM runs WHERE run_uuid = :run"),
            {"run": run.info.run_id},
        )
        assert [status for (status,) in rows] == ["FINISHED"]
    engine.dispose()


def test_p2_a_training_that_failed_in_evaluate_goes_on_at_another_worker(
    stack: RunningStack, tmp_path: Path
) -> None:
    """Another working folder, another scratch folder; what the first machine had on its disk is gone."""
    flow_run = stack.run(
        "train/diabetes", recipe=recipe_with(tmp_path, "moved", SPOILS_EVALUATION_HERE)
    )
    state = stack.ended(flow_run)
    assert state["type"] == "FAILED", state
    (before,) = stack.runs(flow_run)
    assert before.info.status == "FAILED" and "onerun.stage.train" in before.data.tags
    assert "onerun.stage.evaluate" not in before.data.tags

    scratch = Path(stack.environment["ONERUN_WORK"]) / "runs"
    assert scratch.exists()
    (stack.folder / "gone").mkdir()
    scratch.rename(stack.folder / "gone" / "runs")
    end_own_worker(stack)
    try:
        with stack.worker("second-machine"):
            stack.retry(flow_run)
            state = stack.ended(flow_run)
            assert state["type"] == "COMPLETED", state
    finally:
        assert stack.command("up").returncode == 0
    (after,) = stack.runs(flow_run)
    assert (after.info.run_id, after.info.status) == (before.info.run_id, "FINISHED")
    assert after.data.tags["onerun.attempt"] == "2"
    for stage in ("ingest", "validate", "train"):
        assert after.data.tags[f"onerun.stage.{stage}"] == before.data.tags[f"onerun.stage.{stage}"]


def end_own_worker(stack: RunningStack) -> None:
    from deployments.stack.processes import Processes

    assert Processes(Path(stack.environment["ONERUN_WORK"]) / "stack").end("worker", timeout=60)


def test_two_workers_and_eight_queued_trainings_of_one_model_go_one_at_a_time(
    stack: RunningStack, tmp_path: Path
) -> None:
    recipe = recipe_with(tmp_path, "queued", "time.sleep(1)")
    with stack.worker("helping"):
        deployments = [
            "train/diabetes",
            "train/breast-cancer",
        ]  # whichever deployment: it is the model that counts
        flow_runs = [stack.run(deployments[number % 2], recipe=recipe) for number in range(8)]
        states = [stack.ended(flow_run, patience=600)["type"] for flow_run in flow_runs]
    assert states == ["COMPLETED"] * 8
    runs = [run for flow_run in flow_runs for run in stack.runs(flow_run)]
    assert len(runs) == 8
    spans = sorted((run.info.start_time, run.info.end_time) for run in runs)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans)), "one at a time"
    assert len(stack.mlflow.search_model_versions("name = 'queued'")) == 8


def test_p1_a_worker_that_is_killed_while_training_and_the_retry_make_one_run(
    stack: RunningStack, tmp_path: Path
) -> None:
    end_own_worker(stack)
    try:
        with stack.worker("to-be-killed") as first:
            flow_run = stack.run("train/diabetes", recipe=recipe_with(tmp_path, "killed", SLOW))
            until(lambda: running_stage(stack, flow_run, "validate"), "the training's begin")
            for pid in (first.pid, *children(first.pid)):
                os.kill(pid, signal.SIGKILL)
            first.wait(60)
    finally:
        assert stack.command("up").returncode == 0
    assert stack.state(flow_run)["type"] == "RUNNING", "nobody is left to say otherwise"
    (before,) = stack.runs(flow_run)
    assert before.info.status == "RUNNING"
    stack.ask(
        "POST",
        f"/flow_runs/{flow_run}/set_state",
        json={"state": {"type": "CRASHED"}, "force": True},
    )
    stack.retry(flow_run)
    assert stack.ended(flow_run)["type"] == "COMPLETED"
    (after,) = stack.runs(flow_run)
    assert (after.info.run_id, after.info.status) == (before.info.run_id, "FINISHED")
    assert len(stack.mlflow.search_model_versions("name = 'killed'")) == 1


def test_mlflow_restarted_while_a_training_is_under_way_costs_nothing(
    stack: RunningStack, tmp_path: Path
) -> None:
    from deployments.stack.processes import Processes

    flow_run = stack.run("train/diabetes", recipe=recipe_with(tmp_path, "restarted", SLOW))
    until(lambda: running_stage(stack, flow_run, "validate"), "the training's begin")
    server = Processes(Path(stack.environment["ONERUN_WORK"]) / "stack").find("mlflow")
    assert server is not None
    os.killpg(server.pid, signal.SIGKILL)
    time.sleep(2)
    assert stack.command("up").returncode == 0
    assert stack.ended(flow_run)["type"] == "COMPLETED"
    (run,) = stack.runs(flow_run)
    assert (run.info.status, run.data.tags["onerun.attempt"]) == ("FINISHED", "1")


def test_wrong_keys_and_passwords_are_an_error_at_up(
    tmp_path: Path, s3_server: str, postgres: str
) -> None:
    base = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    ports = {
        "PREFECT_API_URL": f"http://127.0.0.1:{servers.free_port()}/api",
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{servers.free_port()}",
    }
    wrong = {
        "MLFLOW_BACKEND_STORE_URI": f"postgresql+psycopg://{POSTGRES_USER}:wrong-password@{postgres}/postgres",
    }
    done = RunningStack(tmp_path, base | ports | wrong).command("up")
    assert done.returncode == 2 and "MLFLOW_BACKEND_STORE_URI" in done.stderr
    assert "wrong-password" not in done.stderr + done.stdout
    keys = {
        "MLFLOW_S3_ENDPOINT_URL": s3_server, "AWS_ACCESS_KEY_ID": S3_KEY, "AWS_SECRET_ACCESS_KEY": "wrong-secret",
        "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{BUCKET}/mlflow",
    }  # fmt: skip
    done = RunningStack(tmp_path, base | ports | keys).command("up")
    assert done.returncode == 2 and "AWS_SECRET_ACCESS_KEY" in done.stderr
    assert "wrong-secret" not in done.stderr + done.stdout
