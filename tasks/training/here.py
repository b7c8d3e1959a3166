"""Trains in this very process and leaves a model folder: what a task does, and the worker in its fresh Python."""

from pathlib import Path

from domain.references import Reference, Snapshot
from settings.recipe import Recipe
from tasks.tracking import models, runs
from tasks.training import fitting
from tasks.training.curve import Curve

MODEL = "model"  # the folder, below the run's work folder


class Outcome(Reference):
    """What a training says about the model folder that it left."""

    rows: dict[str, int]  # part -> number of rows
    best_iteration: int | None = None
    model_id: str | None = None  # of the logged model, where the training logged it itself


def train_here(run_id: str, recipe: Recipe, snapshot: Snapshot, folder: Path) -> Outcome:
    """Trains, logs the learning curve to the run while doing so, and saves the model as `folder`/model."""
    curve = Curve(lambda values, first: runs.log_history(run_id, values, first))
    fitted = fitting.fit(recipe, snapshot, curve)
    runs.log_params(run_id, {f"model.params.{name}": value for name, value in fitted.added_params.items()})
    metadata = {"onerun": {"recipe": recipe.name, "snapshot": snapshot.digest, "columns": _types(fitted, snapshot)}}
    models.save_model(folder / MODEL, fitted.predictor, fitted.example, metadata)
    return Outcome(rows=fitted.rows, best_iteration=fitted.best_iteration)


def _types(fitted: fitting.Fitted, snapshot: Snapshot) -> dict[str, str]:
    """The true types of the features; the signature takes any."""
    names = [column["name"] for column in fitted.predictor.spec["columns"]]
    return {name: snapshot.columns[name] for name in names}
