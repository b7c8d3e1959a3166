"""Train: from a snapshot to a model that is logged to the run. The run stays RUNNING; its owner ends it."""

import json
from pathlib import Path

from domain.references import Snapshot, TrainedModel
from settings.recipe import Recipe
from tasks.tracking import models
from tasks.training import here

TAG_ROWS = "onerun.rows"
TAG_BEST_ITERATION = "onerun.best_iteration"


def train(run_id: str, recipe: Recipe, snapshot: Snapshot, work: Path) -> TrainedModel:
    """Trains where the recipe says and logs the model; called again after a kill, it ends with one model (P2).

    Raises: DataError, TrainingFailed, TrainingKilled, ModelUnusable.
    """
    folder = work / run_id
    folder.mkdir(parents=True, exist_ok=True)
    if models.ready_model(run_id) is None:
        outcome = here.train_here(run_id, recipe, snapshot, folder)
        tags = {TAG_ROWS: json.dumps(outcome.rows), TAG_BEST_ITERATION: str(outcome.best_iteration or "")}
        models.log_model(run_id, folder / here.MODEL, tags)
    return _reference(run_id)


def _reference(run_id: str) -> TrainedModel:
    found = models.ready_model(run_id)
    assert found is not None
    model_id, tags = found
    best = tags.get(TAG_BEST_ITERATION)
    return TrainedModel(
        model_id=model_id,
        model_uri=f"models:/{model_id}",
        rows=json.loads(tags[TAG_ROWS]),
        best_iteration=int(best) if best else None,
    )
