"""`make up` as a new user runs it: SQLite and folders, a training through the deployment, twice, down, and up again."""

import json
import os
import signal
from pathlib import Path
from typing import Any
from uuid import UUID

import fsspec
import pytest
import sqlalchemy

from tests.processes import alive
from tests.servers import POSTGRES_PASSWORD, POSTGRES_USER, S3_KEY, S3_SECRET
from tests.system.running import RunningStack, running, until

RECIPE = """\
name: stopped
task: regression
data: {{source: "sklearn:diabetes", target: target}}
train: {{run_in: command, command: [python, "{program}"]}}
"""


def services(stack: RunningStack) -> dict[str, dict[str, object]]:
    found = json.loads(stack.command("status", "--json").stdout)["services"]
    return {service["name"]: service for service in found}


def written_down(stack: RunningStack) -> list[object]:
    """Returns: the deployments as the server has them, without the times at which they were written."""
    return sorted(
        (without_times(entry) for entry in stack.ask("POST", "/deployments/filter", json={})),
        key=str,
    )


def without_times(value: Any) -> Any:
    if isinstance(value, list):
        return [without_times(item) for item in value]
    if isinstance(value, dict):
        moving = (
            "updated",
            "status",
            "active_slots",
            "last_polled",
            "version",
        )  # git may have moved meanwhile
        return {key: without_times(item) for key, item in value.items() if key not in moving}
    return value


def trained(stack: RunningStack) -> UUID:
    flow_run = stack.run("train/diabetes")
    state = stack.ended(flow_run)
    assert state["type"] == "COMPLETED", state
    return flow_run


def validated(stack: RunningStack, flow_run: UUID) -> bool:
    return any("onerun.stage.validate" in run.data.tags for run in stack.runs(flow_run))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_up_trains_survives_a_second_up_and_a_dead_server_and_its_data_survives_down(
    tmp_path: Path,
) -> None:
    with running(tmp_path) as stack:
        first = services(stack)
        assert [service["state"] for service in first.values()] == ["runs", "runs", "runs"]
        before = written_down(stack)
        flow_run = trained(stack)
        (run,) = stack.runs(flow_run)
        assert run.info.status == "FINISHED" and run.info.artifact_uri.startswith(
            "mlflow-artifacts:/"
        )
        assert (
            stack.mlflow.get_model_version_by_alias("diabetes", "champion").run_id
            == run.info.run_id
        )

        mistaken = stack.run(
            "train/wine", recipe="data: {source: 'sklearn:wine', target: target}\nmodle: {}\n"
        )
        state = stack.ended(mistaken)
        assert state["type"] == "FAILED"
        assert "recipe:2: modle: unknown key; did you mean model?" in state["message"]
        assert stack.runs(mistaken) == [], "nothing half-written"

        os.killpg(int(str(first["mlflow"]["pid"])), signal.SIGKILL)
        until(lambda: services(stack)["mlflow"]["state"] == "not running", "the server's end")
        done = stack.command("up")
        assert done.returncode == 0, done.stderr
        second = services(stack)
        assert second["mlflow"]["pid"] != first["mlflow"]["pid"]
        assert [second[name]["pid"] for name in ("prefect", "worker")] == [
            first[name]["pid"] for name in ("prefect", "worker")
        ]
        assert "(ran already)" in done.stdout
        assert written_down(stack) == before, "deploying again changes nothing"

        for variable, value, words in (
            ("MLFLOW_TRACKING_URI", "http://127.0.0.1:9", "mlflow runs at"),
            ("PREFECT_API_AUTH_STRING", "admin:set-later", "prefect: runs with other settings"),
        ):
            mistaken_up = RunningStack(tmp_path, {**stack.environment, variable: value}).command(
                "up"
            )
            assert mistaken_up.returncode == 2 and words in mistaken_up.stderr, mistaken_up.stderr
        (tmp_path / ".env").write_text("ONERUN_WORKER_LIMITS=2\n")
        told = {name: service["pid"] for name, service in services(stack).items()}
        assert told == {name: service["pid"] for name, service in second.items()}, (
            "it goes on whatever .env says"
        )
        assert json.loads(stack.command("down", "--json").stdout)["ended"] == [
            "worker",
            "mlflow",
            "prefect",
        ]
        assert not any(alive(int(str(service["pid"]))) for service in second.values())
        (tmp_path / ".env").unlink()
        done = stack.command("up")
        assert done.returncode == 0, done.stderr
        assert [found.info.run_id for found in stack.runs(flow_run)] == [run.info.run_id]
        assert (
            stack.mlflow.get_model_version_by_alias("diabetes", "champion").run_id
            == run.info.run_id
        )
        assert stack.mlflow.list_artifacts(run.info.run_id), (
            "read back by the server that was started anew"
        )
        assert stack.state(flow_run)["type"] == "COMPLETED" and written_down(stack) == before


@pytest.mark.slow
def test_a_port_that_is_taken_is_told_and_nothing_is_left_running(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        stack = RunningStack(
            tmp_path,
            {
                **os.environ,
                "PYTHONPATH": str(Path(__file__).parents[2]),
                "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}",
                "PREFECT_API_URL": "http://127.0.0.1:9/api",
            },
        )
        done = stack.command("up")
    assert done.returncode == 2
    assert f"MLFLOW_TRACKING_URI: another program listens on 127.0.0.1:{port}" in done.stderr
    assert [service["state"] for service in services(stack).values()] == ["not running"] * 3


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_profile_servers_by_dot_env_alone(
    tmp_path: Path, s3_server: str, postgres: str
) -> None:
    """PostgreSQL and an object store that are there already; the shell names neither the profile nor a secret."""
    account = f"{POSTGRES_USER}:{POSTGRES_PASSWORD}@{postgres}"
    engine = sqlalchemy.create_engine(
        f"postgresql+psycopg://{account}/postgres", isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        for name in ("servers_prefect", "servers_mlflow"):
            connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    (tmp_path / ".env").write_text(
        f"""ONERUN_PROFILE=servers
MLFLOW_S3_ENDPOINT_URL={s3_server}
MINIO_ROOT_USER={S3_KEY}
MINIO_ROOT_PASSWORD={S3_SECRET}
MLFLOW_ARTIFACTS_DESTINATION=s3://onerun/of-the-server
MLFLOW_BACKEND_STORE_URI=postgresql+psycopg://{account}/servers_mlflow
PREFECT_SERVER_DATABASE_CONNECTION_URL=postgresql+asyncpg://{account}/servers_prefect
"""
    )
    with running(tmp_path) as stack:
        said = stack.command("up").stdout
        assert (
            f"data in postgresql+asyncpg://{POSTGRES_USER}:***@{postgres}/servers_prefect\n" in said
        )
        assert (
            "/servers_mlflow, artifacts in s3://onerun/of-the-server\n" in said
            and "is not set" not in said
        )
        assert "--profile servers" in said and POSTGRES_PASSWORD not in said
        (run,) = stack.runs(trained(stack))
        assert run.info.status == "FINISHED"
        state = tmp_path / "work" / "stack"
        assert (
            not (state / "mlflow.db").exists() and not (state / "prefect" / "prefect.db").exists()
        )
        keys = {"key": S3_KEY, "secret": S3_SECRET, "endpoint_url": s3_server}
        files = fsspec.filesystem("s3", **keys)
        assert files.find("onerun/of-the-server") and files.find("onerun/data")


@pytest.mark.long
@pytest.mark.timeout(900)
def test_p1_a_worker_that_is_stopped_while_training_leaves_nothing_running(tmp_path: Path) -> None:
    """By SIGTERM to its process alone, as `docker compose stop` does."""
    from deployments.stack.processes import Processes

    (tmp_path / "program.py").write_text("import time; time.sleep(600)")
    recipe = RECIPE.format(program=tmp_path / "program.py")
    with running(tmp_path) as stack:
        assert Processes(tmp_path / "work" / "stack").end("worker", timeout=60)
        with stack.worker("to-be-stopped") as worker:
            flow_run = stack.run("train/diabetes", recipe=recipe)
            until(lambda: validated(stack, flow_run), "the training's begin")
            worker.send_signal(signal.SIGTERM)
            worker.wait(120)
        assert stack.ended(flow_run, patience=5)["type"] == "CRASHED"
        (run,) = stack.runs(flow_run)
        assert run.info.status == "KILLED"
