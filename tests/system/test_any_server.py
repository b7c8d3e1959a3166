"""Any Prefect server: nothing but `prefect server start`, Prefect's own worker, and a scheduled deployment of one's own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests import servers
from tests.system.running import ROOT, RunningStack, until

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
PREFECT = str(Path(sys.executable).parent / "prefect")
RECIPE = """\
data: {source: rows.csv, target: y}
model: {estimator: sklearn.linear_model.Ridge}
evaluate: {explain: {rows: 20}}
"""


@pytest.fixture
def surroundings(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Yield the environment of a person who started a server; nothing of ours is set but where data goes."""
    with servers.prefect_server(tmp_path / ".prefect") as server:
        yield {
            **os.environ,
            "PREFECT_API_URL": server.api_url,
            "PREFECT_HOME": str(tmp_path / "prefect-client"),
            "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
            "ONERUN_WORK": str(tmp_path / "work"),
            "PREFECT_WORKER_QUERY_SECONDS": "2",
        }


def done(
    environment: Mapping[str, str], *line: str, folder: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        line, cwd=folder, env=dict(environment), capture_output=True, text=True, timeout=600
    )


@contextmanager
def prefects_worker(environment: Mapping[str, str], folder: Path) -> Iterator[Path]:
    """Prefect's own, started in a folder of its own. Yields: its log."""
    log = folder / "worker.log"
    with log.open("ab") as out:
        line = [PREFECT, "worker", "start", "--pool", "onerun"]
        started = subprocess.Popen(
            line, cwd=folder, env=dict(environment), stdout=out, stderr=out, start_new_session=True
        )
    try:
        yield log
    finally:
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGTERM)
        try:
            started.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()


def test_p1_from_a_fresh_server_to_a_completed_training_by_prefects_own_worker(
    surroundings: dict[str, str], tmp_path: Path
) -> None:
    stack = RunningStack(tmp_path, surroundings)
    refused = done(surroundings, PREFECT, "--no-prompt", "deploy", "--all")
    assert refused.returncode == 1
    said = " ".join(refused.stdout.split())
    assert "references work pool 'onerun' which does not exist" in said

    assert "ONERUN_HOME" not in surroundings
    with prefects_worker(surroundings, tmp_path) as log:
        until(lambda: known_pools(stack) == ["onerun"], "the pool, which the worker makes")
        deployed = done(surroundings, PREFECT, "--no-prompt", "deploy", "--all")
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr
        assert scheduled(stack) == ["maintain", "reconcile"], "samples train when a person says so"

        flow_run = stack.run("train/diabetes")
        assert stack.ended(flow_run)["type"] == "COMPLETED", log.read_text()[-3000:]
        (run,) = stack.runs(flow_run)
        assert run.info.status == "FINISHED"

        own = of_ones_own(surroundings, tmp_path)
        assert own["workers"] and own["next_runs"][0].startswith("20")
        flow_run = stack.run(own["deployment"])
        assert stack.ended(flow_run)["type"] == "COMPLETED", log.read_text()[-3000:]
        (run,) = stack.runs(flow_run)
        assert (run.info.status, run.data.params["name"]) == ("FINISHED", "houses")


def known_pools(stack: RunningStack) -> list[str]:
    return [pool["name"] for pool in stack.ask("POST", "/work_pools/filter", json={})]


def scheduled(stack: RunningStack) -> list[str]:
    deployments = stack.ask("POST", "/deployments/filter", json={})
    on = [each["name"] for each in deployments if any(s["active"] for s in each["schedules"])]
    return sorted(on)


def of_ones_own(environment: Mapping[str, str], folder: Path) -> Any:
    """Deploy a recipe from a folder that the worker does not know. Returns: what was said."""
    mine = folder / "mine"
    mine.mkdir()
    (mine / "houses.yaml").write_text(RECIPE)
    rows = [f"{number},{number % 7},{2 * number + number % 3}" for number in range(300)]
    (mine / "rows.csv").write_text("a,b,y\n" + "\n".join(rows))
    line = [sys.executable, "-m", "deployments.deploy", "houses.yaml", "--cron", "0 6 * * 1"]
    made = done({**environment, "PYTHONPATH": str(ROOT)}, *line, "--json", folder=mine)
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout)


def test_a_worker_that_finds_no_checkout_says_so_in_one_sentence(
    surroundings: dict[str, str], tmp_path: Path
) -> None:
    stack = RunningStack(tmp_path, surroundings)
    elsewhere = {**surroundings, "ONERUN_HOME": str(tmp_path / "nowhere")}
    with prefects_worker(elsewhere, tmp_path) as log:
        until(lambda: known_pools(stack) == ["onerun"], "the pool, which the worker makes")
        done(surroundings, PREFECT, "--no-prompt", "deploy", "--name", "diabetes")
        state = stack.ended(stack.run("train/diabetes"))
    assert state["type"] == "CRASHED"
    assert f"no checkout in {tmp_path}/nowhere on this machine; start the worker with" in (
        log.read_text()
    )


def test_up_adds_what_is_missing_to_servers_that_are_there(
    surroundings: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "mlflow").mkdir()
    with servers.mlflow_server(tmp_path / "mlflow") as mlflow:
        more = {"MLFLOW_TRACKING_URI": mlflow.uri, "PYTHONPATH": str(ROOT)}
        stack = RunningStack(tmp_path, {**surroundings, **more})
        refused = stack.command("up")
        assert refused.returncode == 2 and "`up --existing`" in refused.stderr
        try:
            up = stack.command("up", "--existing")
            assert up.returncode == 0, up.stderr
            assert up.stdout.count("(was there; left as it is)") == 2
            assert states(stack) == {"prefect": "existing", "mlflow": "existing", "worker": "runs"}
            again = stack.command("up", "--existing")
            assert again.returncode == 0 and "(ran already)" in again.stdout
            flow_run: UUID = stack.run("train/diabetes")
            assert stack.ended(flow_run)["type"] == "COMPLETED"
            (run,) = stack.runs(flow_run)
            assert run.info.status == "FINISHED"
        finally:
            down = json.loads(stack.command("down", "--json").stdout)
        assert down["ended"] == ["worker"]
        assert known_pools(stack) == ["onerun"], "the server was left as it is"
        assert states(stack) == dict.fromkeys(("prefect", "mlflow", "worker"), "not running")


def states(stack: RunningStack) -> dict[str, str]:
    found = json.loads(stack.command("status", "--json").stdout)["services"]
    return {service["name"]: service["state"] for service in found}
