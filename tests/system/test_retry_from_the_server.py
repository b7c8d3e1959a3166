"""A flow run that died and is retried from Prefect's UI: the same MLflow run, and finished stages are not repeated."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from uuid import UUID

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

ROOT = Path(__file__).parents[2]
RECIPE = """\
name: diabetes
data: {source: "sklearn:diabetes", target: target}
model: {estimator: sklearn.linear_model.Ridge}
gates: [{metric: r2, min: 0.1}]
"""


def deployed_flow_run() -> UUID:
    """Returns: a flow run of a deployment by module entrypoint, as `prefect deploy` makes one."""
    from prefect.client.orchestration import get_client

    from flows.train import train

    with get_client(sync_client=True) as client:
        flow_id = client.create_flow(train)
        deployment = client.create_deployment(
            flow_id, name="test", entrypoint="flows.train.train", path=str(ROOT), pull_steps=[]
        )
        return client.create_flow_run_from_deployment(deployment, parameters={"recipe": RECIPE}).id


def executed(flow_run_id: UUID, folder: Path) -> "subprocess.Popen[bytes]":
    """Starts what a process worker starts for a flow run."""
    variables = {**os.environ, "PREFECT__FLOW_RUN_ID": str(flow_run_id), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-m", "prefect.engine"], cwd=folder, env=variables)


def runs(folder: Path) -> list[Run]:
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    return list(client.search_runs([experiment.experiment_id for experiment in client.search_experiments()]))


def killed_after(stage: str, process: "subprocess.Popen[bytes]", folder: Path) -> None:
    """Kill -9 as soon as the run says that `stage` is done."""
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        found = runs(folder) if (folder / "mlflow.db").exists() else []
        if found and f"onerun.stage.{stage}" in found[0].data.tags:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.01)
    assert process.wait(30) == -signal.SIGKILL


def asked_to_retry(flow_run_id: UUID) -> None:
    """What the UI's retry button does."""
    from prefect.client.orchestration import get_client
    from prefect.states import AwaitingRetry, Crashed

    with get_client(sync_client=True) as client:
        client.set_flow_run_state(flow_run_id, Crashed(), force=True)  # what the worker says of a killed process
        client.set_flow_run_state(flow_run_id, AwaitingRetry(), force=True)


@pytest.mark.slow
def test_p1_p2_a_killed_training_is_retried_in_the_same_run(
    tmp_path: Path, prefect_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = f"sqlite:///{tmp_path}/mlflow.db"
    MlflowClient(store).search_experiments()  # its tables are made before anybody polls it
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    flow_run_id = deployed_flow_run()
    killed_after("train", executed(flow_run_id, tmp_path), tmp_path)
    before = runs(tmp_path)
    assert [run.info.status for run in before] == ["RUNNING"]

    asked_to_retry(flow_run_id)
    assert executed(flow_run_id, tmp_path).wait(120) == 0
    after = runs(tmp_path)
    assert [(run.info.run_id, run.info.status) for run in after] == [(before[0].info.run_id, "FINISHED")]
    tags, first = after[0].data.tags, before[0].data.tags
    assert (tags["onerun.attempt"], tags["onerun.flow_run_id"]) == ("2", str(flow_run_id))
    for stage in ("ingest", "validate", "train"):
        assert tags[f"onerun.stage.{stage}"] == first[f"onerun.stage.{stage}"]
        key = f"seconds_{stage}"
        assert len(MlflowClient(store).get_metric_history(after[0].info.run_id, key)) == 1
    client = MlflowClient(store)
    assert len(client.search_model_versions("name='diabetes'")) == 1
    assert len(client.search_logged_models([after[0].info.experiment_id])) == 1
    assert client.get_model_version_by_alias("diabetes", "champion").run_id == after[0].info.run_id
