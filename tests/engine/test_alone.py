"""A training without Prefect: one run, really killed, resumed after the last finished stage; and what is refused."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

ROOT = Path(__file__).parents[2]
PLANTED = ROOT / "tests" / "guarantees" / "planted"
RECIPE = """\
name: diabetes
data: {source: "sklearn:diabetes", target: target}
model: {estimator: sklearn.linear_model.Ridge}
evaluate: {explain: {rows: 20}}
gates: [{metric: r2, min: 0.1}]
"""


class Alone:
    """Trainings by `onerun train` in a folder of their own, with a store of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "diabetes.yaml").write_text(RECIPE)
        self.client = MlflowClient(f"sqlite:///{folder}/mlflow.db")

    def start(self, *arguments: str, planted: str = "") -> "subprocess.Popen[str]":
        """`planted`: where a fault strikes, see tests/guarantees/planted/sitecustomize.py."""
        path = [str(ROOT), str(PLANTED)] if planted else [str(ROOT)]
        environment = {
            **os.environ, "PYTHONPATH": os.pathsep.join(path), "PLANTED": planted,
            "PLANTED_STRUCK": str(self.folder / "struck"),
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.folder}/mlflow.db",
        }  # fmt: skip
        (self.folder / "struck").unlink(missing_ok=True)
        return subprocess.Popen(
            [sys.executable, "-m", "onerun", "train", "diabetes.yaml", "--json", *arguments],
            cwd=self.folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *arguments: str, planted: str = "") -> tuple[int, dict[str, Any], str]:
        """Return exit code, the object of --json, and what was said."""
        process = self.start(*arguments, planted=planted)
        out, err = process.communicate(timeout=280)
        lines = out.strip().splitlines()
        return process.returncode, json.loads(lines[-1]) if lines else {}, err

    def runs(self) -> list[Run]:
        found = self.client.get_experiment_by_name("diabetes")
        return list(self.client.search_runs([found.experiment_id])) if found else []

    def wait_for(self, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 200
        while not true():
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.fixture
def alone(tmp_path: Path) -> Alone:
    return Alone(tmp_path)


def test_one_run_one_version_and_no_prefect(alone: Alone) -> None:
    code, result, said = alone.run()
    assert code == 0, said
    (run,) = alone.runs()
    assert (run.info.run_id, run.info.status) == (result["run_id"], "FINISHED")
    assert result["promoted"] and result["model_uri"] == "models:/diabetes/1"
    assert result["flow_run_id"] is None and "onerun.flow_run_id" not in run.data.tags
    assert (alone.folder / result["report"]).read_text().startswith("<!doctype html>")
    assert list(alone.folder.glob(".onerun/runs/*")) == [], (
        "a finished training leaves no work folder"
    )


@pytest.mark.parametrize(
    "place",
    [
        "onerun.training.local:fit:after:SIGKILL",
        "onerun.promotion.register:register:after:SIGKILL",
    ],
)
def test_p1_p2_a_killed_training_goes_on_in_the_same_run(alone: Alone, place: str) -> None:
    code, _, said = alone.run(planted=place)
    assert code == -signal.SIGKILL, said
    (run,) = alone.runs()
    assert run.info.status == "RUNNING"
    code, result, said = alone.run("--resume", run.info.run_id)
    assert code == 0, said
    (again,) = alone.runs()
    assert (again.info.run_id, again.info.status) == (run.info.run_id, "FINISHED")
    assert again.data.tags["onerun.attempt"] == "2"
    assert "ingest      kept" in said
    assert len(alone.client.search_model_versions("name='diabetes'")) == 1
    assert result["version"] == "1"


def test_p1_sigterm_ends_the_run_as_killed_and_a_living_one_is_not_resumed(alone: Alone) -> None:
    process = alone.start(planted="onerun.training.local:fit:before:wait")
    alone.wait_for(lambda: (alone.folder / "struck").exists())
    (run,) = alone.runs()
    code, result, _ = alone.run("--resume", run.info.run_id)
    assert code == 2
    assert f"run {run.info.run_id} is at work: process {process.pid} on " in result["error"]
    process.terminate()
    out, _ = process.communicate(timeout=100)
    assert process.returncode == 128 + signal.SIGTERM
    assert json.loads(out)["status"] == "interrupted"
    (run,) = alone.runs()
    assert run.info.status == "KILLED"
    assert "SIGTERM" in run.data.tags["onerun.failure"]
    code, _, said = alone.run("--resume", run.info.run_id)
    assert code == 0, said


def test_what_cannot_be_resumed_is_refused_with_the_way_out(alone: Alone) -> None:
    code, result, said = alone.run()
    assert code == 0, said
    run_id = result["run_id"]
    other = alone.client.create_run("0").info.run_id
    alone.client.set_tag(other, "onerun.flow_run_id", "0195d6b4-5d2c-7bc3-8f0e-2b1d3c4e5f60")
    foreign = alone.client.create_run("0").info.run_id
    refusals = {
        run_id: "has finished; there is nothing to go on with",
        other: "belongs to a flow run of Prefect; go on with `python -m flows.train",
        foreign: "was not made by a training of onerun",
        "0" * 32: "there is no run",
    }
    for asked, message in refusals.items():
        code, answer, _ = alone.run("--resume", asked)
        assert (code, message in answer["error"]) == (2, True), answer
    alone.client.set_terminated(run_id, "FAILED")
    code, answer, _ = alone.run("--resume", run_id, "--set", "name=others")
    assert code == 2 and "is in experiment 'diabetes'" in answer["error"]
    alone.client.delete_run(run_id)
    code, answer, _ = alone.run("--resume", run_id)
    assert code == 2 and "is deleted" in answer["error"]
    assert len(alone.runs()) == 0


def test_a_dead_training_without_prefect_is_reconciled(alone: Alone) -> None:
    code, _, _ = alone.run(planted="onerun.training.local:fit:before:SIGKILL")
    assert code == -signal.SIGKILL
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "PREFECT_API_URL": "http://127.0.0.1:9/api",
        "MLFLOW_TRACKING_URI": f"sqlite:///{alone.folder}/mlflow.db",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "flows.reconcile", "--apply", "--json"], check=False,
        cwd=alone.folder, env=environment, text=True, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (run,) = alone.runs()
    assert run.info.status == "KILLED"
    assert "is dead" in run.data.tags["onerun.reconciled.why"]


def test_nothing_of_prefect_is_imported(alone: Alone) -> None:
    code = (
        "import sys; from onerun.cli import main; main(['train', 'diabetes.yaml', '--json']);"
        "print([name for name in sys.modules if name.split('.')[0] in ('prefect', 'flows', 'tasks')])"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=alone.folder, env=environment, text=True, check=True,
        capture_output=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "[]"
