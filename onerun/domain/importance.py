"""Which columns matter: what the trees gained by them where they know it, else what shuffling them costs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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
    """Return the share of the trees' total gain; None when the estimator is no booster over these columns."""
    if not hasattr(estimator, "feature_importance") or estimator.num_feature() != len(columns):
        return None
    gains = np.asarray(estimator.feature_importance("gain"), dtype=np.float64)
    shares = gains / gains.sum() if gains.sum() else gains
    return Importance(
        "gain",
        "share of the total gain of the trees",
        dict(zip(columns, shares.tolist(), strict=True)),
    )


def permutation(
    metric: str,
    frame: pd.DataFrame,
    y_true: TrueValues,
    columns: list[str],
    rows: int,
    predict: Callable[[pd.DataFrame], Predictions],
) -> Importance | None:
    """Shuffle one column at a time in at most `rows` of the rows, and measures what that costs (Breiman, 2001).

    Returns: metric lost per column, None when the metric is not defined on so few rows.
    """
    rng = np.random.default_rng(SEED)
    affordable = max(50, MOST_CELLS // len(columns) ** 2)
    kept = np.sort(rng.permutation(y_true.rows)[: min(rows, affordable)])
    few, judged = frame.iloc[kept], y_true.take(kept)
    before = measure(metric, judged, predict(few))
    if not np.isfinite(before):
        return None
    sign = 1 if metric in GREATER_IS_BETTER else -1
    values = {}
    for column in columns:
        after = measure(metric, judged, predict(_shuffled(few, column, rng.permutation(len(few)))))
        values[column] = sign * (before - after) if np.isfinite(after) else 0.0
    change = "lost" if sign > 0 else "added"
    return Importance(
        "permutation", f"{metric} {change} by shuffling the column ({len(few):,} rows)", values
    )


def _shuffled(frame: pd.DataFrame, column: str, order: NDArray[np.intp]) -> pd.DataFrame:
    changed = frame.copy(deep=False)
    changed[column] = frame[column].take(order).set_axis(frame.index)
    return changed
