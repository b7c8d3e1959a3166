"""From a recipe and a snapshot to a fitted model and what must be known to use it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from onerun import progress
from onerun.config.recipe import Recipe
from onerun.domain import estimators, labels, preprocessing
from onerun.domain.errors import TrainingFailed
from onerun.domain.predictor import Predictor
from onerun.domain.references import Snapshot
from onerun.training import boosting, table
from onerun.training.curve import Curve
from onerun.training.table import Part, Table


@dataclass(frozen=True)
class Fitted:
    """A model that was never saved."""

    predictor: Predictor
    rows: dict[str, int]  # part -> number of rows
    best_iteration: int | None
    added_params: dict[str, Any]  # what the recipe did not say: the seed
    example: pd.DataFrame  # a few raw training rows


def fit(recipe: Recipe, snapshot: Snapshot, curve: Curve) -> Fitted:
    """Reads, encodes and fits. Raises: DataError, TrainingFailed, Mistakes."""
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
    return Fitted(predictor, data.rows, best_iteration_of(model), added, data.example)


def best_iteration_of(model: Any) -> int | None:
    """Returns: the round that early stopping chose, or None."""
    best = getattr(model, "best_iteration", None)
    return int(best) if isinstance(best, int) and best > 0 else None


def _prepare(prepare: Any, data: Table) -> None:
    data.training.matrix = prepare.fit_transform(data.training.matrix)
    if data.validation is not None:
        data.validation.matrix = prepare.transform(data.validation.matrix)


def _fit_sklearn(
    recipe: Recipe, estimator: Any, data: Table, levels: preprocessing.Levels | None, curve: Curve
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


def _watched_by_xgboost(recipe: Recipe, estimator: Any, validation: Part | None) -> dict[str, Any]:
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
