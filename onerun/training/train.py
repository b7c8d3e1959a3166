"""Train: from a snapshot to a model that is logged to the run. The run stays RUNNING; its owner ends it."""

import json
import shutil
from pathlib import Path

from onerun import checkpoint
from onerun.config.recipe import Recipe
from onerun.domain.columns import require_recipe_columns
from onerun.domain.errors import ModelUnusable
from onerun.domain.references import Snapshot, TrainedModel
from onerun.tracking import attachment, models, runs
from onerun.training.local import MODEL, TrainingOutput, train_here

OUTCOME = "outcome.json"  # beside the model, written when it is whole
TAG_ROWS = "onerun.rows"  # of the logged model, written last: with it the training is done
TAG_BEST_ITERATION = "onerun.best_iteration"
TAG_KEY = "onerun.trained_from"  # digest of recipe and snapshot


def train(run_id: str, recipe: Recipe, snapshot: Snapshot, work: Path) -> TrainedModel:
    """Train where the recipe says and logs the model; called again after a kill, it ends with one model (P2).

    A model that could not be handed over stays in the work folder: called again, it is logged and not trained again.
    Raises: DataError, TrainingFailed, TrainingKilled, ModelUnusable, StoreUnreachable.
    """
    key = checkpoint.key(recipe.model_dump_json(by_alias=True), snapshot.digest)
    done = models.tagged_model(run_id, TAG_ROWS)
    if done is not None and done[1].get(TAG_KEY, key) == key:
        return _reference(*done)
    if done is not None:
        models.give_up(run_id)  # of an attempt with another recipe
    require_recipe_columns(recipe, snapshot.columns)
    folder = work.absolute() / "training"
    folder.mkdir(parents=True, exist_ok=True)
    outcome = checkpoint.load(folder / OUTCOME, key, TrainingOutput)
    if outcome is None:
        (folder / OUTCOME).unlink(missing_ok=True)
        outcome = _train(run_id, recipe, snapshot, folder)
        checkpoint.save(folder / OUTCOME, key, outcome)
    try:
        trained = _handed_over(run_id, outcome, key, folder)
    except ModelUnusable:
        (folder / OUTCOME).unlink()  # there is nothing to hand over: called again, it trains again
        raise
    shutil.rmtree(
        folder, ignore_errors=True
    )  # the model is in the store; the copies of the data are large
    return trained


def _handed_over(run_id: str, outcome: TrainingOutput, key: str, folder: Path) -> TrainedModel:
    """Log what the training could not or need not log itself; safe to repeat."""
    attachment.keep_running(run_id)
    runs.log_params(run_id, outcome.params)
    if outcome.curve:
        runs.log_history(run_id, outcome.curve, outcome.curve_from)
    tags = {
        TAG_ROWS: json.dumps(outcome.rows),
        TAG_BEST_ITERATION: str(outcome.best_iteration or ""),
        TAG_KEY: key,
    }
    if not outcome.logged_itself:
        return _reference(models.log_model(run_id, folder / MODEL, tags), tags)
    from onerun.training.programs import logged_by_program

    model_id = logged_by_program(run_id, folder / MODEL)
    models.tag_model(model_id, tags)
    return _reference(model_id, tags)


def _train(run_id: str, recipe: Recipe, snapshot: Snapshot, folder: Path) -> TrainingOutput:
    if recipe.train.run_in == "task":
        return train_here(run_id, recipe, snapshot, folder)
    from onerun.training import programs

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
