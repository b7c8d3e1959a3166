"""Trainings in a process of their own: our worker in a fresh Python, or any program of the user's.

What a program finds and must leave behind is written down in docs/training-program.md.
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
from onerun.tracking import attachment, models
from onerun.training import attach
from onerun.training.local import MODEL, TrainingOutput

REPOSITORY = Path(__file__).parents[2]
SPEC, RESULT = "worker.json", "worker-result.json"


def train_in_process(
    run_id: str, recipe: Recipe, snapshot: Snapshot, folder: Path
) -> TrainingOutput:
    """Train in a fresh Python, which leaves the model in `folder`/model. Raises: what the training raised."""
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
            raise _told(json.loads(result.read_text(encoding="utf-8"))) from None
        raise
    return TrainingOutput.from_json(result.read_text(encoding="utf-8"))


def train_by_command(
    run_id: str, recipe: Recipe, snapshot: Snapshot, folder: Path
) -> TrainingOutput:
    """Run the recipe's command, attached to the run, and takes the model it leaves; the run reads RUNNING throughout.

    Raises: ModelUnusable when the model is none that Python can ask.
    """
    assert recipe.train.command is not None
    models.give_up(run_id)  # what an attempt before this one logged is not this one's model
    parts = snapshots.parts(snapshot, recipe.data, recipe.split)
    written = {
        part: _write_part(snapshot, parts == part, folder / f"{NAMES[part]}.parquet")
        for part in (TRAINING, VALIDATION)
    }
    (folder / "recipe.json").write_text(json.dumps(_as_json(recipe)), encoding="utf-8")
    models.clear(folder / MODEL)
    given = {
        "ONERUN_TRAIN_DATA": str(written[TRAINING]),
        "ONERUN_VALIDATION_DATA": str(written[VALIDATION]),
        "ONERUN_TARGET": recipe.data.target,
        "ONERUN_RECIPE": str(folder / "recipe.json"),
        "ONERUN_MODEL_DIR": str(folder / MODEL),
    }
    environment = attach.environment(run_id, attachment.experiment_of(run_id), given)
    try:
        program.run(
            recipe.train.command,
            environment,
            recipe.train.timeout,
            VARIABLE.findall(recipe.data.source),
        )
    finally:
        with suppress(StoreUnreachable):  # whoever hands the model over sees to it again
            attachment.keep_running(run_id)
    rows = {name: int((parts == part).sum()) for part, name in enumerate(NAMES)}
    saved = (folder / MODEL / "MLmodel").exists()
    if saved:
        models.require_python_function(folder / MODEL)
    return TrainingOutput(rows=rows, logged_itself=not saved)


def logged_by_program(run_id: str, folder: Path) -> str:
    """Return the id of the model that the program logged itself. Raises: ModelUnusable when there is none."""
    logged = models.newest_model(run_id)
    if logged is None:
        raise ModelUnusable(
            "the program ended well and left no model: neither an MLflow model in the folder ONERUN_MODEL_DIR "
            f"({folder}) nor one logged to the run (mlflow.<flavor>.log_model, or autologging); "
            "see docs/training-program.md"
        )
    return logged


def _write_part(snapshot: Snapshot, mask: "np.ndarray", path: Path) -> Path:
    """Write the rows where `mask` (rows,) is true as Parquet, batch by batch."""
    start, writer = 0, None
    for batch in snapshots.batches(snapshot, list(snapshot.columns)):
        writer = writer or pq.ParquetWriter(path, batch.schema)
        writer.write_batch(batch.filter(pa.array(mask[start : start + len(batch)])))
        start += len(batch)
    if writer is not None:
        writer.close()
    return path


def _as_json(recipe: Recipe) -> Mapping[str, object]:
    return recipe.model_dump(mode="json", by_alias=True)


def _told(failure: Mapping[str, str]) -> Exception:
    """Return the exception that the worker wrote down."""
    if failure["error"] == Mistakes.__name__:
        return Mistakes([Mistake("", failure["message"])])
    kind = getattr(errors, failure["error"], TrainingFailed)
    return (
        kind(failure["message"])
        if issubclass(kind, OnerunError)
        else TrainingFailed(failure["message"])
    )
