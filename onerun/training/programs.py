"""Trainings in a process of their own: the worker in a fresh Python, or any program of the user's.

docs/training-programs.md describes what a program finds and what it must leave.
"""

import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from onerun.config.mistakes import Mistake, Mistakes
from onerun.config.recipe import Recipe
from onerun.data import snapshots
from onerun.data.sources.addresses import VARIABLE
from onerun.domain import errors
from onerun.domain.errors import ModelUnusable, OnerunError, StoreUnreachable, TrainingFailed
from onerun.domain.references import Snapshot
from onerun.domain.splits import NAMES, TRAINING, VALIDATION
from onerun.processes import program
from onerun.tracking import lifecycle, models
from onerun.training import attach
from onerun.training.local import MODEL, TrainingOutput

REPOSITORY = Path(__file__).parents[2]
SPEC, RESULT = "worker.json", "worker-result.json"


def train_in_program(
    run_id: str, recipe: Recipe, snapshot: Snapshot, folder: Path
) -> TrainingOutput:
    """Train in a fresh Python or by the recipe's command, as `train.run_in` states."""
    if recipe.train.run_in == "process":
        return train_in_process(run_id, recipe, snapshot, folder)
    return train_by_command(run_id, recipe, snapshot, folder)


def train_in_process(
    run_id: str, recipe: Recipe, snapshot: Snapshot, folder: Path
) -> TrainingOutput:
    """Train in a fresh Python, which leaves the model in `folder`/model. Raises what the training
    raised.
    """
    result = folder / RESULT
    result.unlink(missing_ok=True)
    spec = {
        "run_id": run_id,
        "recipe": _as_json(recipe),
        "snapshot": snapshot.model_dump(),
        "work": str(folder),
    }
    (folder / SPEC).write_text(json.dumps(spec), encoding="utf-8")
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "onerun.training.worker", str(folder / SPEC)]
    try:
        program.run(command, {**os.environ, "PYTHONPATH": path}, recipe.train.timeout)
    except TrainingFailed:
        if result.exists():
            raise _error_of_worker(json.loads(result.read_text(encoding="utf-8"))) from None
        raise
    return TrainingOutput.from_json(result.read_text(encoding="utf-8"))


def train_by_command(
    run_id: str, recipe: Recipe, snapshot: Snapshot, folder: Path
) -> TrainingOutput:
    """Run the recipe's command, attached to the run, and take the model that it leaves.

    The run keeps status RUNNING.

    Raises:
        ModelUnusable: Python cannot ask the model for predictions.
    """
    assert recipe.train.command is not None
    models.give_up(run_id)  # an earlier attempt's model is not this one's
    parts = snapshots.parts(snapshot, recipe.data, recipe.split)
    for part in (TRAINING, VALIDATION):
        _write_part(snapshot, parts == part, folder / f"{NAMES[part]}.parquet")
    (folder / "recipe.json").write_text(json.dumps(_as_json(recipe)), encoding="utf-8")
    models.clear(folder / MODEL)
    given = {
        "ONERUN_TRAIN_DATA": str(folder / f"{NAMES[TRAINING]}.parquet"),
        "ONERUN_VALIDATION_DATA": str(folder / f"{NAMES[VALIDATION]}.parquet"),
        "ONERUN_TARGET": recipe.data.target,
        "ONERUN_RECIPE": str(folder / "recipe.json"),
        "ONERUN_MODEL_DIR": str(folder / MODEL),
    }
    environment = attach.environment(run_id, lifecycle.experiment_of(run_id), given)
    try:
        program.run(
            recipe.train.command,
            environment,
            recipe.train.timeout,
            VARIABLE.findall(recipe.data.source),
        )
    finally:
        with suppress(StoreUnreachable):  # it is repeated when the model is logged
            lifecycle.keep_running(run_id)
    rows = {name: int((parts == part).sum()) for part, name in enumerate(NAMES)}
    saved = (folder / MODEL / "MLmodel").exists()
    if saved:
        models.require_python_function(folder / MODEL)
    return TrainingOutput(rows=rows, logged_itself=not saved)


def logged_by_program(run_id: str, folder: Path) -> str:
    """Return the id of the model that the program logged itself.

    Raises:
        ModelUnusable: It logged no model.
    """
    logged = models.newest_model(run_id)
    if logged is None:
        raise ModelUnusable(
            "the program ended without an error and left no model: "
            "neither an MLflow model in the folder ONERUN_MODEL_DIR "
            f"({folder}) nor one logged to the run (mlflow.<flavor>.log_model, or autologging); "
            "see docs/training-programs.md"
        )
    return logged


def _write_part(snapshot: Snapshot, mask: "np.ndarray", path: Path) -> None:
    """Write the rows where `mask` (rows,) is true as Parquet, batch by batch."""
    start, writer = 0, None
    for batch in snapshots.batches(snapshot, list(snapshot.columns)):
        writer = writer or pq.ParquetWriter(path, batch.schema)
        writer.write_batch(batch.filter(pa.array(mask[start : start + len(batch)])))
        start += len(batch)
    if writer is not None:
        writer.close()


def _as_json(recipe: Recipe) -> Mapping[str, object]:
    return recipe.model_dump(mode="json", by_alias=True)


def _error_of_worker(failure: Mapping[str, str]) -> Exception:
    """Return the exception that the worker recorded."""
    message = failure["message"]
    if failure["error"] == Mistakes.__name__:
        return Mistakes([Mistake("", message)])
    kind = getattr(errors, failure["error"], TrainingFailed)
    if not issubclass(kind, OnerunError):
        kind = TrainingFailed
    return kind(message)
