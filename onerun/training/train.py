"""Train: from a snapshot to a model that is logged to the run. The run keeps status RUNNING; its
owner ends it.
"""

import json
import shutil
from pathlib import Path

from onerun import checkpoint
from onerun.config.recipe import Recipe
from onerun.domain.columns import require_recipe_columns
from onerun.domain.errors import ModelUnusable
from onerun.domain.references import Snapshot, TrainedModel
from onerun.tracking import lifecycle, models, runs
from onerun.training.local import MODEL, TrainingOutput, train_here

OUTPUT = "outcome.json"  # beside the model, written when it is complete
TAG_ROWS = "onerun.rows"  # of the logged model, written last: with it the training is done
TAG_BEST_ITERATION = "onerun.best_iteration"
TAG_KEY = "onerun.trained_from"  # digest of recipe and snapshot


def train(run_id: str, recipe: Recipe, snapshot: Snapshot, work: Path) -> TrainedModel:
    """Train where `train.run_in` states and log the model. Repeated after a kill, it still ends
    with one model.

    A model that could not be logged stays in the work folder: repeated, it is logged and not
    trained again.

    Raises:
        DataError: The table cannot be trained on.
        TrainingFailed: The training failed by itself.
        TrainingKilled: A signal or the time-out ended it.
        ModelUnusable: It left no usable model.
        StoreUnreachable: The store did not answer within the retry budget.
    """
    key = checkpoint.key(recipe.model_dump_json(by_alias=True), snapshot.digest)
    logged = models.tagged_model(run_id, TAG_ROWS)
    if logged is not None:
        if logged[1].get(TAG_KEY, key) == key:
            return _reference(*logged)
        models.give_up(run_id)  # of an attempt with another recipe
    require_recipe_columns(recipe, snapshot.columns)
    folder = work.absolute() / "training"
    folder.mkdir(parents=True, exist_ok=True)
    output = checkpoint.load(folder / OUTPUT, key, TrainingOutput)
    if output is None:
        (folder / OUTPUT).unlink(missing_ok=True)
        if recipe.train.run_in == "task":
            output = train_here(run_id, recipe, snapshot, folder)
        else:
            from onerun.training import programs

            output = programs.train_in_program(run_id, recipe, snapshot, folder)
        checkpoint.save(folder / OUTPUT, key, output)
    try:
        trained = _log_output(run_id, output, key, folder)
    except ModelUnusable:
        (folder / OUTPUT).unlink()  # there is nothing to log: repeated, it trains again
        raise
    # the model is in the store; the copies of the data are large
    shutil.rmtree(folder, ignore_errors=True)
    return trained


def _log_output(run_id: str, output: TrainingOutput, key: str, folder: Path) -> TrainedModel:
    """Log what the training did not log itself; safe to repeat."""
    lifecycle.keep_running(run_id)
    runs.log_params(run_id, output.params)
    if output.curve:
        runs.log_history(run_id, output.curve, output.curve_from)
    tags = {
        TAG_ROWS: json.dumps(output.rows),
        TAG_BEST_ITERATION: str(output.best_iteration or ""),
        TAG_KEY: key,
    }
    if not output.logged_itself:
        return _reference(models.log_model(run_id, folder / MODEL, tags), tags)
    from onerun.training.programs import logged_by_program

    model_id = logged_by_program(run_id, folder / MODEL)
    models.tag_model(model_id, tags)
    return _reference(model_id, tags)


def _reference(model_id: str, tags: dict[str, str]) -> TrainedModel:
    best = tags.get(TAG_BEST_ITERATION)
    return TrainedModel(
        model_id=model_id,
        model_uri=f"models:/{model_id}",
        rows=json.loads(tags[TAG_ROWS]),
        best_iteration=int(best) if best else None,
    )
