"""Importance of columns: the trees' own gain where they have one, else the loss by shuffling a
column.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from onerun.config.evaluation import GREATER_IS_BETTER
from onerun.domain.metrics import measure
from onerun.domain.predictions import Predictions, TrueValues

SEED = 20_240_602
MOST_CELLS = 100_000_000  # values predicted from while shuffling; wide tables get fewer rows


@dataclass(frozen=True)
class Importance:
    """Importance of each column, and what the numbers mean."""

    kind: str  # gain | permutation
    meaning: str
    values: dict[str, float]


def gain(estimator: Any, columns: list[str]) -> Importance | None:
    """Return each column's share of the total gain; None when the estimator is not a booster over
    these columns.
    """
    if not hasattr(estimator, "feature_importance") or estimator.num_feature() != len(columns):
        return None
    gains = np.asarray(estimator.feature_importance("gain"), dtype=np.float64)
    if gains.sum():
        gains = gains / gains.sum()
    shares = dict(zip(columns, gains.tolist(), strict=True))
    return Importance("gain", "share of the total gain of the trees", shares)


def permutation(
    metric: str,
    frame: pd.DataFrame,
    y_true: TrueValues,
    columns: list[str],
    rows: int,
    predict: Callable[[pd.DataFrame], Predictions],
) -> Importance | None:
    """Return the metric lost by shuffling each column in turn, in at most `rows` of the rows
    (Breiman, 2001).

    None when the metric is not defined on so few rows.
    """
    rng = np.random.default_rng(SEED)
    affordable = max(50, MOST_CELLS // len(columns) ** 2)
    kept = np.sort(rng.permutation(y_true.rows)[: min(rows, affordable)])
    few, y_few = frame.iloc[kept], y_true.take(kept)
    before = measure(metric, y_few, predict(few))
    if not np.isfinite(before):
        return None
    sign, change = -1, "added"
    if metric in GREATER_IS_BETTER:
        sign, change = 1, "lost"
    values = {}
    for column in columns:
        shuffled = few.copy(deep=False)
        order = rng.permutation(len(few))
        shuffled[column] = few[column].take(order).set_axis(few.index)
        after = measure(metric, y_few, predict(shuffled))
        values[column] = sign * (before - after) if np.isfinite(after) else 0.0
    meaning = f"{metric} {change} by shuffling the column ({len(few):,} rows)"
    return Importance("permutation", meaning, values)
