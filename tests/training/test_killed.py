"""A training that is really killed, wherever it stands, is called again and ends with one READY model (P2)."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from onerun.config.recipe import Recipe
from onerun.domain.references import Snapshot
from onerun.tracking import models
from onerun.tracking.runs import client
from onerun.training.train import train

CALLER = """
import sys
from pathlib import Path
from onerun.domain.references import Snapshot
from onerun.config.recipe import Recipe
from onerun.training.train import train
run_id, recipe, snapshot, work = sys.argv[1:]
train(run_id, Recipe.model_validate_json(recipe), Snapshot.model_validate_json(snapshot), Path(work))
"""


def logged(run_id: str) -> list[str]:
    experiment = client().get_run(run_id).info.experiment_id
    return [str(model.status) for model in client().search_logged_models([experiment])]


WHILE_IT_SIGNS = """
import os, signal
from mlflow.models import Model
def to_yaml(model, stream=None):
    if model.model_id:
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(model, stream)
whole, Model.to_yaml = Model.to_yaml, to_yaml
"""


def saves(work: Path) -> bool:
    try:
        return any(work.glob("*/*/model.*"))
    except FileNotFoundError:  # a folder came and went while it was looked at
        return False


MOMENTS: dict[str, Callable[[str, Path], bool]] = {
    "while it learns": lambda run_id, work: bool(
        client().get_metric_history(run_id, "validation_rmse")
    ),
    "while it saves": lambda run_id, work: saves(work),
    "while it logs": lambda run_id, work: bool(logged(run_id)),
}


def called(
    program: str, run_id: str, recipe: Recipe, snapshot: Snapshot, work: Path
) -> "subprocess.Popen[bytes]":
    texts = [recipe.model_dump_json(by_alias=True), snapshot.model_dump_json(), str(work)]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(
        [sys.executable, "-c", program, run_id, *texts], env=env, cwd=work.parent
    )


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_and_called_again(run_id, houses, snapshot_of, recipe_of, tmp_path, moment):
    params = {"n_estimators": 3000 if moment == "while it learns" else 30}
    recipe, snapshot, work = (
        recipe_of("median_house_value", model={"params": params}),
        snapshot_of(houses),
        tmp_path / "w",
    )
    process = called(CALLER, run_id, recipe, snapshot, work)
    end = time.monotonic() + 120
    while not MOMENTS[moment](run_id, work) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert client().get_run(run_id).info.status == "RUNNING"
    short = recipe_of("median_house_value", model={"params": {"n_estimators": 30}})
    trained = train(run_id, short, snapshot, work)
    assert logged(run_id) == ["READY"]
    assert models.load_model(trained.model_uri).predict(houses.head(3)).shape == (3,)


def test_killed_while_the_model_file_is_written(run_id, houses, snapshot_of, recipe_of, tmp_path):
    recipe, snapshot, work = (
        recipe_of("median_house_value", model={"params": {"n_estimators": 30}}),
        snapshot_of(houses),
        tmp_path / "w",
    )
    assert (
        called(WHILE_IT_SIGNS + CALLER, run_id, recipe, snapshot, work).wait(120) == -signal.SIGKILL
    )
    assert logged(run_id) == ["PENDING"]
    train(run_id, recipe, snapshot, work)
    assert logged(run_id) == ["READY"]
    assert not list(tmp_path.rglob("*.unfinished"))
