"""Train: from a snapshot to a model that is logged to the run. The run stays RUNNING; its owner ends it."""

import json
import shutil
from pathlib import Path

from domain.columns import require_asked
from domain.references import Snapshot, TrainedModel
from settings.recipe import Recipe
from tasks.tracking import models
from tasks.training.here import MODEL, Outcome, train_here

TAG_ROWS = "onerun.rows"  # of the logged model, written last: with it the training is done
TAG_BEST_ITERATION = "onerun.best_iteration"


def train(run_id: str, recipe: Recipe, snapshot: Snapshot, work: Path) -> TrainedModel:
    """Trains where the recipe says and logs the model; called again after a kill, it ends with one model (P2).

    Raises: DataError, TrainingFailed, TrainingKilled, ModelUnusable.
    """
    done = models.tagged_model(run_id, TAG_ROWS)
    if done is not None:
        return _reference(*done)
    require_asked(recipe, snapshot.columns)
    folder = work.absolute() / "training"
    folder.mkdir(parents=True, exist_ok=True)
    outcome = _train(run_id, recipe, snapshot, folder)
    tags = {TAG_ROWS: json.dumps(outcome.rows), TAG_BEST_ITERATION: str(outcome.best_iteration or "")}
    if outcome.model_id is None:
        model_id = models.log_model(run_id, folder / MODEL, tags)
    else:
        model_id = outcome.model_id
        models.tag_model(model_id, tags)
    shutil.rmtree(folder, ignore_errors=True)  # the model is in the store; the copies of the data are large
    return _reference(model_id, tags)


def _train(run_id: str, recipe: Recipe, snapshot: Snapshot, folder: Path) -> Outcome:
    if recipe.train.run_in == "task":
        return train_here(run_id, recipe, snapshot, folder)
    from tasks.training import programs

    if recipe.train.run_in == "process":
        return programs.train_in_process(run_id, recipe, snapshot, folder)
    return programs.train_by_command(run_id, recipe, snapshot, folder)


def _reference(model_id: str, tags: dict[str, str]) -> TrainedModel:
    best = tags.get(TAG_BEST_ITERATION)
    return TrainedModel(
        model_id=model_id,
        model_uri=f"models:/{model_id}",
        rows=json.loads(tags[TAG_ROWS]),
        best_iteration=int(best) if best else None,
    )
