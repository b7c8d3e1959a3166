"""Metrics and curves that need the rows in order. One sort serves the area, its bootstrap and the plotted curve."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from onerun.domain.outcomes import Floats


class Order:
    """Rows by falling score, for one class against the rest; rows of equal score are one threshold."""

    def __init__(self, positive: NDArray[np.bool_], scores: Floats) -> None:
        order = np.argsort(-scores)  # ties may fall either way: they are one threshold
        ranked = scores[order]
        self.last_of_threshold = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
        self.order = order
        self.positive = positive[order]

    def counts(self, weights: Floats) -> tuple[Floats, Floats]:
        """Returns: (thresholds + 1,) weights of true and of false positives, from none to all rows."""
        ranked = weights[self.order]
        hits = np.cumsum(ranked * self.positive)[self.last_of_threshold]
        taken = np.cumsum(ranked)[self.last_of_threshold]
        return np.append(0.0, hits), np.append(0.0, np.maximum(taken - hits, 0))


def roc_area(hits: Floats, alarms: Floats) -> float:
    """Returns: the area under the ROC curve, NaN with rows of one kind only."""
    if hits[-1] <= 0 or alarms[-1] <= 0:
        return float("nan")
    return float(np.trapezoid(hits, alarms) / (hits[-1] * alarms[-1]))


def precision_area(hits: Floats, alarms: Floats) -> float:
    """Returns: average precision, the sum of precision times the step in recall; NaN without positives."""
    if hits[-1] <= 0:
        return float("nan")
    taken = hits[1:] + alarms[1:]
    precision = np.divide(hits[1:], taken, out=np.zeros_like(taken), where=taken > 0)
    return float((np.diff(hits) * precision).sum() / hits[-1])


def median_of(values: Floats) -> Callable[[Floats], float]:
    """Returns: a function from (n,) weights to the weighted median, the mean of both middle values in a tie."""
    order = np.argsort(values)
    ranked = values[order]

    def median(weights: Floats) -> float:
        heavy = weights[order] > 0
        kept, reached = ranked[heavy], np.cumsum(weights[order][heavy])
        if not kept.size:
            return float("nan")
        half = reached[-1] / 2
        middle = int(np.searchsorted(reached, half * (1 - 1e-12)))
        tie = np.isclose(reached[middle], half, rtol=1e-12, atol=0) and middle + 1 < kept.size
        return float((kept[middle] + kept[middle + 1]) / 2 if tie else kept[middle])

    return median
