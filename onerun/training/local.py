"""Train in this process and save the model folder: what `run_in: task` does, and the worker in its
fresh Python.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ConfigDict, Field

from onerun import progress
from onerun.config.recipe import Recipe
from onerun.domain import estimators, labels, preprocessing
from onerun.domain.errors import TrainingFailed
from onerun.domain.predictor import Predictor
from onerun.domain.references import Reference, Snapshot
from onerun.processes.cores import threads_for
from onerun.tracking import models, runs
from onerun.training import boosting, table
from onerun.training.curve import Curve
from onerun.training.table import EncodedPart, EncodedTable

MODEL = "model"  # the folder, below the run's work folder


class TrainingOutput(Reference):
    """What a training reports about the model folder that it left."""

    model_config = ConfigDict(ser_json_inf_nan="constants")  # a diverging curve holds infinities

    rows: dict[str, int]  # part -> number of rows
    best_iteration: int | None = None
    logged_itself: bool = False  # the training logged its model, and left none in the folder
    params: dict[str, Any] = Field(default_factory=dict)  # what the recipe did not set: the seed
    # the part of the learning curve that is not logged yet, and its first step
    curve: dict[str, list[float]] = Field(default_factory=dict)
    curve_from: int = 0


@dataclass(frozen=True)
class FittedModel:
    """A model in memory, not saved yet."""

    predictor: Predictor
    rows: dict[str, int]  # part -> number of rows
    best_iteration: int | None
    added_params: dict[str, Any]  # what the recipe did not set: the seed
    example: pd.DataFrame  # a few raw training rows


def train_here(run_id: str, recipe: Recipe, snapshot: Snapshot, folder: Path) -> TrainingOutput:
    """Train, log the learning curve to the run meanwhile, and save the model as `folder`/model.

    Nothing here waits for MLflow: what it does not take at once is part of the output.
    """
    curve = Curve(lambda values, first: runs.log_history(run_id, values, first))
    fitted = fit(recipe, snapshot, curve)
    features = [column["name"] for column in fitted.predictor.spec["columns"]]
    about = {
        "recipe": recipe.name,
        "snapshot": snapshot.digest,
        # their true types; the signature takes any
        "columns": {name: snapshot.columns[name] for name in features},
    }
    models.save_model(folder / MODEL, fitted.predictor, fitted.example, {"onerun": about})
    return TrainingOutput(
        rows=fitted.rows,
        best_iteration=fitted.best_iteration,
        params={f"model.params.{name}": value for name, value in fitted.added_params.items()},
        curve=curve.waiting,
        curve_from=curve.first,
    )


def fit(recipe: Recipe, snapshot: Snapshot, curve: Curve) -> FittedModel:
    """Read, encode and fit.

    Raises:
        DataError: The table cannot be learned from.
        TrainingFailed: The estimator refuses.
        Mistakes: The recipe does not fit the estimator.
    """
    task = estimators.task_of(recipe)
    estimator, added = estimators.make_estimator(recipe)
    data = table.read(recipe, snapshot, task, preprocessing.working_dtype(estimator))
    by_class = getattr(estimator, "class_weight", None)
    if isinstance(by_class, dict) and data.spec["classes"]:
        estimator.set_params(class_weight=labels.class_weights(by_class, data.spec["classes"]))
    prepare, levels = preprocessing.plan(recipe.preprocess, estimator, data.levels)
    if prepare is not None:
        data.training.matrix = prepare.fit_transform(data.training.matrix)
        if data.validation is not None:
            data.validation.matrix = prepare.transform(data.validation.matrix)
    data.spec["booster"] = type(estimator).__module__.startswith("lightgbm.")
    fit = boosting.fit if data.spec["booster"] else _fit_sklearn
    with threads_for(data.training.matrix.size):
        model: Any = fit(recipe, estimator, data, levels, curve)
    curve.flush()
    predictor = Predictor(data.spec, prepare, model)
    return FittedModel(predictor, data.rows, best_iteration_of(model), added, data.example)


def best_iteration_of(model: Any) -> int | None:
    """Return the round that early stopping chose, or None."""
    best = getattr(model, "best_iteration", None)
    return int(best) if isinstance(best, int) and best > 0 else None


def _fit_sklearn(
    recipe: Recipe,
    estimator: Any,
    data: EncodedTable,
    levels: preprocessing.Levels | None,
    curve: Curve,
) -> Any:
    part, arguments = data.training, dict[str, Any]()
    if levels is not None:
        preprocessing.use_native_categories(estimator, levels)
        _fill_empty_columns(part.matrix)
    if part.weight is not None:
        arguments["sample_weight"] = part.weight
    is_watched = type(estimator).__module__.startswith("xgboost.") and data.validation is not None
    if data.validation is not None and is_watched:
        arguments |= _xgboost_validation(recipe, estimator, data.validation)
    progress.report("fit", 0, 1)
    try:
        estimator.fit(part.matrix, part.target, **arguments)
    except (ValueError, TypeError, np.linalg.LinAlgError) as error:  # XGBoostError is a ValueError
        # what follows the first line is advice for other circumstances, or a C++ stack
        message = str(error).partition("\n")[0]
        raise TrainingFailed(
            f"{type(estimator).__name__} could not be fitted: {message}"
        ) from error
    progress.report("fit", 1, 1)
    if is_watched:
        history = estimator.evals_result()["validation_0"]
        metrics = [f"validation_{metric}" for metric in history]
        for values in zip(*history.values(), strict=True):
            curve.add(dict(zip(metrics, values, strict=True)))
    return estimator


def _xgboost_validation(recipe: Recipe, estimator: Any, validation: EncodedPart) -> dict[str, Any]:
    """Return the arguments with which XGBoost watches the validation part, and set early
    stopping.
    """
    assert recipe.model is not None
    if recipe.model.early_stopping:
        estimator.set_params(early_stopping_rounds=recipe.model.early_stopping)
    arguments = {"eval_set": [(validation.matrix, validation.target)], "verbose": False}
    if validation.weight is not None:
        arguments["sample_weight_eval_set"] = [validation.weight]
    return arguments


def _fill_empty_columns(matrix: np.ndarray) -> None:
    """Replace columns without any value by 0: histogram boosting fails on them (scikit-learn
    1.9).
    """
    for column in matrix.T:
        if np.isnan(column).all():
            column[:] = 0
