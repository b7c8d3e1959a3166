"""Why the model is as good as it is: slices, importance, worst rows, learning curves, and their
plots.
"""

from collections.abc import Sequence

import pandas as pd

from onerun.config.recipe import Recipe
from onerun.domain import importance
from onerun.domain.estimators import Task
from onerun.domain.evaluation_details import EvaluationDetails, worst_rows
from onerun.domain.importance import Importance
from onerun.domain.plots import classification, regression, training
from onerun.domain.predictions import Predictions
from onerun.domain.references import Snapshot, TrainedModel
from onerun.domain.slices import slices
from onerun.evaluation.comparison import HoldoutResult
from onerun.tracking import runs

Curves = dict[str, dict[str, Sequence[float]]]
PARTS = {
    "training": "training",
    "train": "training",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
}
MOST_HISTORIES = 12  # a script of the user's may log hundreds
MOST_CURVES = 2


def details(
    run_id: str, recipe: Recipe, snapshot: Snapshot, trained: TrainedModel, result: HoldoutResult
) -> EvaluationDetails:
    """Return everything that the report shows."""
    comparison, test = result.comparison, result.test
    predictions = comparison.model.predictions
    assert predictions is not None
    found = _importance(recipe, result)
    shown = list(result.model.columns)
    if found is not None:
        values = found.values
        shown.sort(key=lambda name: -values.get(name, 0.0))
    parts = []
    for name in recipe.evaluate.slices:
        parts += slices(name, test.frame[name], comparison.y_true, predictions)
    loss, worst = worst_rows(comparison.y_true, predictions, test.frame, test.positions, shown)
    return EvaluationDetails(
        run_id=run_id,
        recipe=recipe,
        snapshot=snapshot,
        trained=trained,
        evaluation=result.evaluation,
        slices=parts,
        importance=found,
        loss=loss,
        worst=worst,
        curves=curves(run_id),
        trouble=comparison.champion.trouble if comparison.champion else "",
    )


def plots(details: EvaluationDetails, result: HoldoutResult) -> dict[str, bytes]:
    """Return file name -> PNG, in the order in which people look."""
    y_true, comparison = result.comparison.y_true, result.comparison
    predictions = comparison.model.predictions
    assert predictions is not None
    if y_true.classes:
        champion = comparison.champion.predictions if comparison.champion else None
        drawn = classification.draw(y_true, predictions, champion)
    else:
        drawn = regression.draw(y_true, predictions, details.recipe.data.target)
    if details.importance is not None:
        drawn["importance.png"] = training.draw_importance(details.importance)
    for metric, parts in details.curves.items():
        name = "".join(letter if letter.isalnum() else "_" for letter in metric)
        plot = training.draw_curve(metric, parts, details.trained.best_iteration)
        drawn[f"learning_curve_{name}.png"] = plot
    return drawn


def curves(run_id: str) -> Curves:
    """Return metric -> part -> its value after each round, for what the training logged as a
    history.
    """
    found: Curves = {}
    keys = [key for key in runs.metric_names(run_id) if "/" not in key]
    for key in keys[:MOST_HISTORIES]:
        part, _, metric = key.removeprefix("curve_").partition("_")
        if metric and part in PARTS:
            values = runs.history(run_id, key)
            if len(values) > 1:
                found.setdefault(metric, {})[PARTS[part]] = values
    return dict(list(found.items())[:MOST_CURVES])


def _importance(recipe: Recipe, result: HoldoutResult) -> Importance | None:
    model, comparison, rows = result.model, result.comparison, recipe.evaluate.explain.rows
    if model.predictor is not None:
        gained = importance.gain(model.predictor.estimator, model.columns)
        if gained is not None:
            return gained
    if not rows or comparison.primary not in comparison.model.metrics:
        return None
    y_true = comparison.y_true

    def predict(frame: pd.DataFrame) -> Predictions:
        task: Task = "classification" if y_true.classes else "regression"
        return model.answer(frame, task, y_true.classes).coded(y_true.classes)

    return importance.permutation(
        comparison.primary, result.test.frame, y_true, model.columns, rows, predict
    )
