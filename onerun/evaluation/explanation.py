"""Why the model is as good as it is: slices, importance, worst rows, learning curves, and their plots."""

from collections.abc import Sequence

import pandas as pd

from onerun.config.recipe import Recipe
from onerun.domain import findings as found
from onerun.domain import importance
from onerun.domain.findings import EvaluationDetails
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


def findings(
    run_id: str, recipe: Recipe, snapshot: Snapshot, trained: TrainedModel, judgement: HoldoutResult
) -> EvaluationDetails:
    """Return all that the report tells."""
    contest, test = judgement.contest, judgement.test
    said = contest.model.predictions
    assert said is not None
    matters = _importance(recipe, judgement)
    telling = sorted(
        judgement.model.columns, key=lambda name: -matters.values.get(name, 0.0) if matters else 0.0
    )
    loss, worst = found.worst_rows(contest.y_true, said, test.frame, test.positions, telling)
    return EvaluationDetails(
        run_id,
        recipe,
        snapshot,
        trained,
        judgement.evaluation,
        [
            part
            for name in recipe.evaluate.slices
            for part in slices(name, test.frame[name], contest.y_true, said)
        ],
        matters,
        loss,
        worst,
        curves(run_id),
        contest.champion.trouble if contest.champion else "",
    )


def plots(findings: EvaluationDetails, judgement: HoldoutResult) -> dict[str, bytes]:
    """Return file name -> PNG, in the order in which people look."""
    y_true, contest = judgement.contest.y_true, judgement.contest
    assert contest.model.predictions is not None
    if y_true.classes:
        champion = contest.champion.predictions if contest.champion else None
        drawn = classification.draw(y_true, contest.model.predictions, champion)
    else:
        drawn = regression.draw(y_true, contest.model.predictions, findings.recipe.data.target)
    if findings.importance is not None:
        drawn["importance.png"] = training.draw_importance(findings.importance)
    for metric, parts in findings.curves.items():
        name = "".join(letter if letter.isalnum() else "_" for letter in metric)
        drawn[f"learning_curve_{name}.png"] = training.draw_curve(
            metric, parts, findings.trained.best_iteration
        )
    return drawn


def curves(run_id: str) -> Curves:
    """Return metric -> part -> its value after each round, of what the training logged as a history."""
    told: Curves = {}
    for key in [key for key in runs.metric_names(run_id) if "/" not in key][:MOST_HISTORIES]:
        part, _, metric = key.removeprefix("curve_").partition("_")
        values = runs.history(run_id, key) if metric and part in PARTS else []
        if len(values) > 1:
            told.setdefault(metric, {})[PARTS[part]] = values
    return dict(list(told.items())[:MOST_CURVES])


def _importance(recipe: Recipe, judgement: HoldoutResult) -> Importance | None:
    predictor, rows = judgement.model.predictor, recipe.evaluate.explain.rows
    if predictor is not None:
        gained = importance.gain(predictor.estimator, judgement.model.columns)
        if gained is not None:
            return gained
    contest = judgement.contest
    if not rows or contest.primary not in contest.model.metrics:
        return None

    def predict(frame: pd.DataFrame) -> Predictions:
        known = contest.y_true.classes
        return judgement.model.answer(
            frame, "classification" if known else "regression", known
        ).coded(known)

    return importance.permutation(
        contest.primary,
        judgement.test.frame,
        contest.y_true,
        judgement.model.columns,
        rows,
        predict,
    )
