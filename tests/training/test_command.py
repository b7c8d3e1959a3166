"""Any program in the run: unmodified MLflow scripts land in the owner's run, which reads RUNNING throughout (P1)."""

import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from onerun.domain.errors import ModelUnusable, TrainingFailed, TrainingKilled
from onerun.tracking import models
from onerun.tracking.runs import client
from onerun.training.train import train

SKLEARN = """
import os, sys, mlflow, pandas as pd
from sklearn.linear_model import LinearRegression
mlflow.set_tracking_uri("sqlite:///elsewhere.db")
mlflow.set_experiment("an experiment of the script's own")
mlflow.autolog(log_datasets=False)
table = pd.read_parquet(os.environ["ONERUN_TRAIN_DATA"])
LinearRegression().fit(table[["median_income"]], table[os.environ["ONERUN_TARGET"]])
"""
TWICE = """
import os, subprocess, sys, time, mlflow, numpy as np
with mlflow.start_run(run_name="mine"):
    mlflow.log_param("first", 1)
time.sleep(0.5)
with mlflow.start_run() as run:
    mlflow.log_metric("second", 2)
    with mlflow.start_run(nested=True) as child:
        mlflow.log_metric("nested", 3)
subprocess.run([sys.executable, "-c", "import mlflow; mlflow.log_param('grandchild', 4)"], check=True)
mlflow.MlflowClient().set_terminated(run.info.run_id, "FAILED")
mlflow.pyfunc.save_model(os.environ["ONERUN_MODEL_DIR"], python_model=lambda model_input: [0.0] * len(model_input),
    input_example=["x"], pip_requirements=[])
"""


@contextmanager
def watched(run_id: str, store: str) -> Iterator[set[str]]:
    """Yields: the states the run was seen in, sampled from outside MLflow, straight from its database."""
    seen: set[str] = set()
    over = threading.Event()

    def look() -> None:
        database = sqlite3.connect(store.removeprefix("sqlite:///"))
        while not over.is_set():
            seen.add(
                database.execute("select status from runs where run_uuid = ?", [run_id]).fetchone()[
                    0
                ]
            )
            time.sleep(0.005)
        database.close()

    thread = threading.Thread(target=look)
    thread.start()
    yield seen
    over.set()
    thread.join()


@pytest.fixture
def train_script(run_id, houses, snapshot_of, recipe_of, tmp_path, tracking_uri):
    def run(code: str, **settings):
        script = tmp_path / "script.py"
        script.write_text(code)
        section = {"run_in": "command", "command": [sys.executable, str(script)], **settings}
        recipe = recipe_of("median_house_value", None, task="regression", train=section)
        with watched(run_id, tracking_uri) as seen:
            try:
                return train(run_id, recipe, snapshot_of(houses), tmp_path)
            finally:
                time.sleep(0.05)
                assert seen == {"RUNNING"}

    return run


def runs_of(run_id: str) -> list[str]:
    experiment = client().get_run(run_id).info.experiment_id
    return [run.info.run_id for run in client().search_runs([experiment])]


def test_an_autologging_script_lands_in_the_run(train_script, run_id, houses, tmp_path):
    before = {experiment.name for experiment in client().search_experiments()}
    trained = train_script(SKLEARN)
    assert runs_of(run_id) == [run_id]
    assert {experiment.name for experiment in client().search_experiments()} == before
    assert not (tmp_path / "elsewhere.db").exists()
    run = client().get_run(run_id)
    assert run.data.params["fit_intercept"] == "True"
    assert models.load_model(trained.model_uri).predict(houses[["median_income"]]).mean() > 100_000
    assert sum(trained.rows.values()) == len(houses)


def test_two_runs_a_nested_one_and_a_grandchild(train_script, run_id):
    trained = train_script(TWICE)
    run = client().get_run(run_id)
    assert {"first", "grandchild"} <= set(run.data.params) and run.data.metrics["second"] == 2
    assert run.info.run_name != "mine"
    [nested] = [client().get_run(found) for found in runs_of(run_id) if found != run_id]
    assert nested.info.status == "FINISHED" and nested.data.tags["mlflow.parentRunId"] == run_id
    assert models.load_model(trained.model_uri).predict(["a", "b"]) == [0.0, 0.0]


@pytest.mark.parametrize(
    ("end", "error", "words"),
    [
        ("sys.exit(3)", TrainingFailed, "exited with 3"),
        ("os.kill(os.getpid(), 9)", TrainingKilled, "SIGKILL"),
    ],
)
def test_a_bad_end_leaves_the_run_running(train_script, run_id, end, error, words):
    with pytest.raises(error, match=words):
        train_script(
            f"import os, sys, mlflow\nwith mlflow.start_run():\n mlflow.log_param('a', 1)\n {end}"
        )
    assert client().get_run(run_id).data.params["a"] == "1"


def test_a_time_out(train_script):
    with pytest.raises(TrainingKilled, match=r"after 3 seconds \(train.timeout\)"):
        train_script("import time; time.sleep(60)", timeout=3.0)


def test_no_model_says_what_was_looked_for(train_script):
    with pytest.raises(ModelUnusable, match=r"ONERUN_MODEL_DIR .* nor one logged to the run"):
        train_script("print('nothing')")


def test_a_model_of_a_failed_attempt_is_not_taken(train_script, run_id):
    with pytest.raises(TrainingFailed):
        train_script(SKLEARN + "\nsys.exit(1)")
    with pytest.raises(ModelUnusable):
        train_script("print('the second attempt leaves no model')")


def test_a_program_that_ends_the_run_by_other_means_is_put_right(
    run_id, houses, snapshot_of, recipe_of, tmp_path
):
    """As a program in another language would, over REST."""
    statement = f"update runs set status = 'FINISHED' where run_uuid = '{run_id}'"
    code = f"import os, sqlite3\nc = sqlite3.connect(os.environ['MLFLOW_TRACKING_URI'][10:])\nc.execute({statement!r})\n"
    code += "c.commit()"
    recipe = recipe_of(
        "median_house_value",
        None,
        task="regression",
        train={"run_in": "command", "command": [sys.executable, "-c", code]},
    )
    with pytest.raises(ModelUnusable):
        train(run_id, recipe, snapshot_of(houses), tmp_path)
    assert client().get_run(run_id).info.status == "RUNNING"


def test_the_worker_is_a_fresh_python_without_prefect(
    run_id, houses, snapshot_of, recipe_of, tmp_path
):
    recipe = recipe_of(
        "median_house_value", model={"params": {"n_estimators": 20}}, train={"run_in": "process"}
    )
    trained = train(run_id, recipe, snapshot_of(houses), tmp_path)
    assert models.load_model(trained.model_uri).predict(houses.head(3)).shape == (3,)
    assert len(client().get_metric_history(run_id, "validation_rmse")) == 20
    assert client().get_run(run_id).info.status == "RUNNING"


def test_the_worker_tells_its_error(run_id, houses, snapshot_of, recipe_of, tmp_path):
    from onerun.domain.errors import DataError

    recipe = recipe_of("ocean_proximity", train={"run_in": "process"})
    with pytest.raises(DataError, match="use a classifier"):
        train(run_id, recipe, snapshot_of(houses), tmp_path)
