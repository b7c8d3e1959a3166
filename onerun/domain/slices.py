"""How good the model is in each part of the table: for every value of a column, or every quarter of
a number.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from onerun.domain.metrics import score
from onerun.domain.predictions import Integers, Predictions, TrueValues

MOST = 20
OTHER, MISSING = "(other)", "(missing)"


@dataclass(frozen=True)
class Slice:
    """The rows with one value of a column, and the metrics over them."""

    column: str
    value: str
    rows: int
    metrics: dict[str, float]


def slices(column: str, values: Any, y_true: TrueValues, predictions: Predictions) -> list[Slice]:
    """Return the metrics of each slice, the most frequent values first, quarters of a number in
    their order.

    Args:
        column: Its name.
        values: (n,) a Series.
        y_true: (n,).
        predictions: (n,).
    """
    split = _quarters if _is_amount(values) else _levels
    codes, names = split(values)
    found = []
    for code, name in enumerate(names):
        rows = np.flatnonzero(codes == code)
        if rows.size:
            metrics = score(y_true.take(rows), predictions.take(rows))
            found.append(Slice(column, name, int(rows.size), metrics))
    return found


def _is_amount(values: Any) -> bool:
    """Return whether these are amounts; few different numbers (a month, a grade) are not."""
    return values.dtype.kind in "iufM" and values.nunique() > MOST


def _quarters(values: Any) -> tuple[Integers, list[str]]:
    present = values.notna().to_numpy()
    edges = values[present].quantile([0, 0.25, 0.5, 0.75, 1]).drop_duplicates()
    codes = np.full(len(values), len(edges) - 1, dtype=np.intp)
    codes[present] = np.clip(
        edges.searchsorted(values[present], side="left") - 1, 0, len(edges) - 2
    )
    texts = [f"{edge:%Y-%m-%d}" if hasattr(edge, "year") else f"{edge:.4g}" for edge in edges]
    ranges = [f"{low} to {high}" for low, high in pairwise(texts)]
    return codes, [*ranges, MISSING]


def _levels(values: Any) -> tuple[Integers, list[str]]:
    import pandas as pd

    codes, levels = pd.factorize(values)
    counts = np.bincount(codes[codes >= 0], minlength=len(levels))
    shown = np.argsort(-counts, kind="stable")[:MOST]
    # the last one is found by -1, a missing value
    place = np.full(len(levels) + 1, MOST, dtype=np.intp)
    place[shown] = np.arange(len(shown))
    place[-1] = MOST + 1
    names = [str(levels[level]) for level in shown] + [""] * (MOST - len(shown))
    return place[codes], [*names, OTHER, MISSING]
