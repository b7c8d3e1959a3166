"""Train in this process and save the model folder: what the task does, and the worker in its fresh Python."""

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
from onerun.tracking import models, runs
from onerun.training import boosting, table
from onerun.training.curve import Curve
from onerun.training.table import EncodedPart, EncodedTable


@dataclass(frozen=True)
class FittedModel:
    """A model that was never saved."""

    predictor: Predictor
    rows: dict[str, int]  # part -> number of rows
    best_iteration: int | None
    added_params: dict[str, Any]  # what the recipe did not say: the seed
    example: pd.DataFrame  # a few raw training rows


def fit(recipe: Recipe, snapshot: Snapshot, curve: Curve) -> FittedModel:
    """Read, encodes and fits. Raises: DataError, TrainingFailed, Mistakes."""
    task = estimators.task_of(recipe)
    estimator, added = estimators.make_estimator(recipe)
    data = table.read(recipe, snapshot, task, preprocessing.wanted_dtype(estimator))
    if (
        isinstance(by_class := getattr(estimator, "class_weight", None), dict)
        and data.spec["classes"]
    ):
        estimator.set_params(class_weight=labels.class_weights(by_class, data.spec["classes"]))
    prepare, levels = preprocessing.plan(recipe.preprocess, estimator, data.levels)
    if prepare is not None:
        _prepare(prepare, data)
    if type(estimator).__module__.startswith("lightgbm."):
        data.spec["booster"] = True
        model: Any = boosting.fit(recipe, estimator, data, levels, curve)
    else:
        model = _fit_sklearn(recipe, estimator, data, levels, curve)
    curve.flush()
    predictor = Predictor(data.spec, prepare, model)
    return FittedModel(predictor, data.rows, best_iteration_of(model), added, data.example)


def best_iteration_of(model: Any) -> int | None:
    """Return the round that early stopping chose, or None."""
    best = getattr(model, "best_iteration", None)
    return int(best) if isinstance(best, int) and best > 0 else None


def _prepare(prepare: Any, data: EncodedTable) -> None:
    data.training.matrix = prepare.fit_transform(data.training.matrix)
    if data.validation is not None:
        data.validation.matrix = prepare.transform(data.validation.matrix)


def _fit_sklearn(
    recipe: Recipe,
    estimator: Any,
    data: EncodedTable,
    levels: preprocessing.Levels | None,
    curve: Curve,
) -> Any:
    if levels is not None:
        preprocessing.use_native_categories(estimator, levels)
        _fill_empty_columns(data.training.matrix)
    part, xgboost = data.training, type(estimator).__module__.startswith("xgboost.")
    weights = {} if part.weight is None else {"sample_weight": part.weight}
    watched = _watched_by_xgboost(recipe, estimator, data.validation) if xgboost else {}
    progress.report("fit", 0, 1)
    try:
        estimator.fit(part.matrix, part.target, **weights, **watched)
    except (ValueError, TypeError, np.linalg.LinAlgError) as error:  # XGBoostError is a ValueError
        words = str(error).partition("\n")[
            0
        ]  # what follows is advice for other circumstances, or a C++ stack
        raise TrainingFailed(f"{type(estimator).__name__} could not be fitted: {words}") from error
    progress.report("fit", 1, 1)
    if watched:
        for values in zip(*estimator.evals_result()["validation_0"].values(), strict=True):
            curve.add(dict(zip(_metric_names(estimator), values, strict=True)))
    return estimator


def _watched_by_xgboost(
    recipe: Recipe, estimator: Any, validation: EncodedPart | None
) -> dict[str, Any]:
    assert recipe.model is not None
    if validation is None:
        return {}
    if recipe.model.early_stopping:
        estimator.set_params(early_stopping_rounds=recipe.model.early_stopping)
    weights = {} if validation.weight is None else {"sample_weight_eval_set": [validation.weight]}
    return {"eval_set": [(validation.matrix, validation.target)], "verbose": False, **weights}


def _metric_names(estimator: Any) -> list[str]:
    return [f"validation_{metric}" for metric in estimator.evals_result()["validation_0"]]


def _fill_empty_columns(matrix: np.ndarray) -> None:
    """A column without any value becomes a constant: histogram boosting fails on it (scikit-learn 1.9)."""
    for column in matrix.T:
        if np.isnan(column).all():
            column[:] = 0


MODEL = "model"  # the folder, below the run's work folder


class TrainingOutput(Reference):
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


def train_here(run_id: str, recipe: Recipe, snapshot: Snapshot, folder: Path) -> TrainingOutput:
    """Train, logs the learning curve to the run while doing so, and saves the model as `folder`/model.

    Nothing here waits for MLflow: what it does not take at once is a part of the outcome.
    """
    curve = Curve(lambda values, first: runs.log_history(run_id, values, first))
    fitted = fit(recipe, snapshot, curve)
    metadata = {
        "onerun": {
            "recipe": recipe.name,
            "snapshot": snapshot.digest,
            "columns": _types(fitted, snapshot),
        }
    }
    models.save_model(folder / MODEL, fitted.predictor, fitted.example, metadata)
    return TrainingOutput(
        rows=fitted.rows,
        best_iteration=fitted.best_iteration,
        params={f"model.params.{name}": value for name, value in fitted.added_params.items()},
        curve=curve.waiting,
        curve_from=curve.first,
    )


def _types(fitted: FittedModel, snapshot: Snapshot) -> dict[str, str]:
    """The true types of the features; the signature takes any."""
    names = [column["name"] for column in fitted.predictor.spec["columns"]]
    return {name: snapshot.columns[name] for name in names}
