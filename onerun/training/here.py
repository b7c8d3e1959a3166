"""Trains in this very process and leaves a model folder: what a task does, and the worker in its fresh Python."""

from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field

from onerun.config.recipe import Recipe
from onerun.domain.references import Reference, Snapshot
from onerun.tracking import models, runs
from onerun.training import fitting
from onerun.training.curve import Curve

MODEL = "model"  # the folder, below the run's work folder


class Outcome(Reference):
    """What a training says about the model folder that it left."""

    model_config = ConfigDict(ser_json_inf_nan="constants")  # a diverging curve holds infinities

    rows: dict[str, int]  # part -> number of rows
    best_iteration: int | None = None
    logged_itself: bool = False  # the training logged its model, and left none in the folder
    params: dict[str, Any] = Field(default_factory=dict)  # what the recipe did not say
    curve: dict[str, list[float]] = Field(
        default_factory=dict
    )  # the part of the learning curve that is not logged yet
    curve_from: int = 0  # its first step


def train_here(run_id: str, recipe: Recipe, snapshot: Snapshot, folder: Path) -> Outcome:
    """Trains, logs the learning curve to the run while doing so, and saves the model as `folder`/model.

    Nothing here waits for MLflow: what it does not take at once is a part of the outcome.
    """
    curve = Curve(lambda values, first: runs.log_history(run_id, values, first))
    fitted = fitting.fit(recipe, snapshot, curve)
    metadata = {
        "onerun": {
            "recipe": recipe.name,
            "snapshot": snapshot.digest,
            "columns": _types(fitted, snapshot),
        }
    }
    models.save_model(folder / MODEL, fitted.predictor, fitted.example, metadata)
    return Outcome(
        rows=fitted.rows,
        best_iteration=fitted.best_iteration,
        params={f"model.params.{name}": value for name, value in fitted.added_params.items()},
        curve=curve.waiting,
        curve_from=curve.first,
    )


def _types(fitted: fitting.Fitted, snapshot: Snapshot) -> dict[str, str]:
    """The true types of the features; the signature takes any."""
    names = [column["name"] for column in fitted.predictor.spec["columns"]]
    return {name: snapshot.columns[name] for name in names}
