"""A training that is cancelled at Prefect ends with all its processes, and its run reads KILLED (P1)."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.processes import alive, family

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow

GRANDCHILD = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open(sys.argv[1], "a") as file:
    print(os.getpid(), file=file)
time.sleep(600)
"""
PROGRAM = f"""
import os, subprocess, sys, time
with open(sys.argv[1], "a") as file:
    print(os.getpid(), file=file)
subprocess.Popen([sys.executable, "-c", {GRANDCHILD!r}, sys.argv[1]])
time.sleep(600)
"""
LONG = "{estimator: lightgbm.LGBMRegressor, params: {n_estimators: 1000000, num_leaves: 300}}"
WAYS = [
    pytest.param("task", marks=pytest.mark.long),
    "process",
    pytest.param("command", marks=pytest.mark.long),
]
# One call of a library that does not come back to Python for minutes: no signal is heard meanwhile.
DEAF = """
import ctypes, sys
from prefect import flow
from prefect.runtime import flow_run
from flows.training.cancellation import ends_when_cancelled
from onerun.domain import names
from onerun.engine.owner import owned_run
from onerun.tracking.lifecycle import Identity

@flow(name="deaf")
def deaf():
    with ends_when_cancelled(flow_run.id, flow_run.run_count) as watcher:
        watcher.experiment = "deaf"
        with owned_run("deaf", Identity.of_flow_run(flow_run.id), flow_run.name, "d", {}) as run:
            print(flow_run.id, flush=True)
            lock, mutex = ctypes.CDLL(None).pthread_mutex_lock, ctypes.create_string_buffer(64)
            lock(mutex), lock(mutex)  # a second time never returns

deaf()
"""


def recipe(folder: Path, run_in: str) -> str:
    head = 'name: diabetes\ndata: {source: "sklearn:diabetes", target: target}\n'
    if run_in == "command":
        (folder / "program.py").write_text(PROGRAM)
        command = f"[python, {folder / 'program.py'}, {folder / 'pids'}]"
        return f"{head}task: regression\ntrain: {{run_in: command, command: {command}}}\n"
    return f"{head}model: {LONG}\ntrain: {{run_in: {run_in}}}\n"


def until(what: str, true: Callable[[], Any], seconds: float = 150) -> float:
    """Returns: how long it took, in seconds."""
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < seconds, f"{what}: not within {seconds} s"
        time.sleep(0.05)
    return time.monotonic() - begun


def runs(folder: Path) -> list[Run]:
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    return list(
        client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    )


def trains(folder: Path, run_in: str) -> bool:
    """Whether the training itself is under way."""
    found = runs(folder)
    if not found or "onerun.stage.validate" not in found[0].data.tags:
        return False
    if run_in == "command":
        return (folder / "pids").exists() and len((folder / "pids").read_text().split()) == 2
    return bool(found[0].data.metrics.keys() - {"seconds_ingest", "seconds_validate"})


@pytest.fixture
def worker(prefect_api: str, tmp_path: Path) -> Iterator[Callable[[str], UUID]]:
    """Returns: has a real process worker run a recipe."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate

    from flows.train import train

    pool = f"pool-{uuid4().hex[:8]}"
    store = f"sqlite:///{tmp_path}/mlflow.db"
    MlflowClient(store).search_experiments()  # its tables are made before anybody polls it
    variables = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "MLFLOW_TRACKING_URI": store,
        "ONERUN_WORK": str(tmp_path / "w"),
    }
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
        deployment = client.create_deployment(
            client.create_flow(train), name=pool, entrypoint="flows.train.train", path=str(ROOT), pull_steps=[],
            work_pool_name=pool,
        )  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--type", "process"],
            cwd=tmp_path, env={**variables, "PREFECT_WORKER_QUERY_SECONDS": "1"}, stdout=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        try:
            yield (
                lambda text: (
                    client.create_flow_run_from_deployment(
                        deployment, parameters={"recipe": text}
                    ).id
                )
            )
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def cancel(flow_run_id: UUID) -> None:
    """What the UI's button does."""
    from prefect.client.orchestration import get_client
    from prefect.states import Cancelling

    with get_client(sync_client=True) as client:
        client.set_flow_run_state(flow_run_id, Cancelling())


def state(flow_run_id: UUID) -> str:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        found = client.read_flow_run(flow_run_id).state
        return str(found.name) if found else ""


def ended(folder: Path, pids: list[int]) -> Iterator[str]:
    """Waits for the end of all. Yields: how long each part took, for whoever wants to know."""
    begun = time.monotonic()
    until("its programs end", lambda: not any(map(alive, pids[1:])))
    yield f"programs {time.monotonic() - begun:.1f} s"
    until("the run reads KILLED", lambda: runs(folder)[0].info.status == "KILLED")
    yield f"run {time.monotonic() - begun:.1f} s"
    until("its own process ends", lambda: not alive(pids[0]))
    yield f"own process {time.monotonic() - begun:.1f} s"


@pytest.mark.long
@pytest.mark.parametrize("run_in", WAYS)
def test_p1_cancelled_under_a_worker(
    run_in: str, worker: Callable[[str], UUID], tmp_path: Path
) -> None:
    flow_run_id = worker(recipe(tmp_path, run_in))
    until(
        "training", lambda: trains(tmp_path, run_in) or state(flow_run_id) in ("Failed", "Crashed")
    )
    pids = family(int(runs(tmp_path)[0].data.tags["onerun.pid"]))
    assert len(pids) >= {"task": 1, "process": 3, "command": 4}[run_in]  # with the guard
    cancel(flow_run_id)
    print(f"{run_in} under a worker, {len(pids)} processes:", *ended(tmp_path, pids))
    until("Cancelled", lambda: state(flow_run_id) == "Cancelled")


@pytest.mark.parametrize("run_in", WAYS)
def test_p1_cancelled_on_the_command_line(run_in: str, prefect_api: str, tmp_path: Path) -> None:
    MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").search_experiments()
    (tmp_path / "recipe.yaml").write_text(recipe(tmp_path, run_in))
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.train", "--recipe", "recipe.yaml"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        until("training", lambda: trains(tmp_path, run_in) or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        pids = family(process.pid)
        flow_run_id = UUID(runs(tmp_path)[0].data.tags["onerun.flow_run_id"])
        cancel(flow_run_id)
        print(f"{run_in} on the command line, {len(pids)} processes:", *ended(tmp_path, pids))
        said, errors = process.communicate()
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert "cancelled at Prefect" in said and "Traceback" not in errors
    assert state(flow_run_id) == "Cancelled"


def test_p1_a_training_that_hears_no_signal_is_ended_all_the_same(
    prefect_api: str, tmp_path: Path
) -> None:
    variables = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", DEAF], cwd=tmp_path, env=variables, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        flow_run_id = UUID(process.stdout.readline().strip())
        cancel(flow_run_id)
        assert process.wait(120) == 128 + signal.SIGTERM
    finally:
        process.kill()
    (run,) = runs(tmp_path)
    assert run.info.status == "KILLED"
    assert "did not end within" in run.data.tags["onerun.failure"]
    assert state(flow_run_id) == "Cancelled"
