"""The metrics of the test part. They equal scikit-learn's; what is not defined on the rows is left
out.

Two families, so that the same lines serve the metric, its slices and its bootstrap:

    additive    a function of sums over rows: rmse, mae, r2, accuracy, balanced_accuracy, f1_*,
        log_loss, brier
    ordered     needs the rows sorted: median_absolute_error, roc_auc, average_precision
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from onerun.config.evaluation import CLASSIFICATION_METRICS, REGRESSION_METRICS
from onerun.domain.predictions import Floats, Integers, Predictions, TrueValues


class Order:
    """Rows by falling score, for one class against the rest; rows of equal score are one
    threshold.
    """

    def __init__(self, positive: NDArray[np.bool_], scores: Floats) -> None:
        order = np.argsort(-scores)  # ties may fall either way: they are one threshold
        ranked = scores[order]
        self.last_of_threshold = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
        self.order = order
        self.positive = positive[order]

    def counts(self, weights: Floats) -> tuple[Floats, Floats]:
        """Return (thresholds + 1,) weights of true and of false positives, from none to all
        rows.
        """
        ranked = weights[self.order]
        hits = np.cumsum(ranked * self.positive)[self.last_of_threshold]
        taken = np.cumsum(ranked)[self.last_of_threshold]
        return np.append(0.0, hits), np.append(0.0, np.maximum(taken - hits, 0))


def roc_area(hits: Floats, alarms: Floats) -> float:
    """Return the area under the ROC curve, NaN with rows of one kind only."""
    if hits[-1] <= 0 or alarms[-1] <= 0:
        return float("nan")
    return float(np.trapezoid(hits, alarms) / (hits[-1] * alarms[-1]))


def precision_area(hits: Floats, alarms: Floats) -> float:
    """Return average precision, the sum of precision times the step in recall; NaN without
    positives.
    """
    if hits[-1] <= 0:
        return float("nan")
    taken = hits[1:] + alarms[1:]
    precision = np.divide(hits[1:], taken, out=np.zeros_like(taken), where=taken > 0)
    return float((np.diff(hits) * precision).sum() / hits[-1])


def median_of(values: Floats) -> Callable[[Floats], float]:
    """Return a function from (n,) weights to the weighted median, the mean of both middle values in
    a tie.
    """
    order = np.argsort(values)
    ranked = values[order]

    def median(weights: Floats) -> float:
        heavy = weights[order] > 0
        kept, reached = ranked[heavy], np.cumsum(weights[order][heavy])
        if not kept.size:
            return float("nan")
        half = reached[-1] / 2
        middle = int(np.searchsorted(reached, half * (1 - 1e-12)))
        is_tie = np.isclose(reached[middle], half, rtol=1e-12, atol=0)
        if is_tie and middle + 1 < kept.size:
            return float((kept[middle] + kept[middle + 1]) / 2)
        return float(kept[middle])

    return median


Orders = list[Order]
ORDERED = frozenset({"median_absolute_error", "roc_auc", "average_precision"})
NEED_PROBABILITIES = frozenset({"log_loss", "brier", "roc_auc", "average_precision"})
PER_CLASS = frozenset({"balanced_accuracy", "f1_macro", "f1_weighted"})


def names_of(y_true: TrueValues) -> tuple[str, ...]:
    """Return the metrics of this task."""
    return CLASSIFICATION_METRICS if y_true.classes else REGRESSION_METRICS


def score(y_true: TrueValues, predictions: Predictions) -> dict[str, float]:
    """Return metric -> value, without undefined ones (no probabilities, one class, constant
    target).
    """
    if y_true.rows == 0:
        return {}
    orders = orders_of(y_true, predictions)  # sorting is most of the work: once for both areas
    values = {name: measure(name, y_true, predictions, orders) for name in names_of(y_true)}
    return {name: value for name, value in values.items() if np.isfinite(value)}


def measure(
    metric: str, y_true: TrueValues, predictions: Predictions, orders: Orders | None = None
) -> float:
    """Return the metric over all rows, NaN where it is not defined."""
    if metric in NEED_PROBABILITIES and predictions.probabilities is None:
        return float("nan")
    if metric == "median_absolute_error" and y_true.weights is None:
        # needs no sorted rows: a fifth of the time
        return float(np.median(losses("mae", y_true, predictions)))
    if metric in ORDERED:
        return ordered(metric, y_true, predictions, orders)(y_true.row_weights)
    whole = np.zeros(y_true.rows, dtype=np.intp)
    return float(value(metric, sums(metric, y_true, predictions, whole, 1))[0])


def orders_of(y_true: TrueValues, predictions: Predictions) -> Orders:
    """Return the rows sorted by each class's probability; of two classes, by that of the second,
    positive one.
    """
    probabilities = predictions.probabilities
    if probabilities is None:
        return []
    kinds = list(range(len(y_true.classes)))
    if len(kinds) == 2:
        kinds = [1]
    return [Order(y_true.values == kind, probabilities[:, kind]) for kind in kinds]


def ordered(
    metric: str, y_true: TrueValues, predictions: Predictions, orders: Orders | None = None
) -> Callable[[Floats], float]:
    """Sort once. Returns a function from (n,) row weights to the metric, NaN where it is not
    defined.
    """
    if metric == "median_absolute_error":
        return median_of(np.abs(y_true.values - predictions.values))
    area = roc_area if metric == "roc_auc" else precision_area
    sorted_rows = orders or orders_of(y_true, predictions)

    def over_classes(weights: Floats) -> float:
        areas = np.array([area(*order.counts(weights)) for order in sorted_rows])
        # one class against the rest, over the classes that occur
        defined = areas[np.isfinite(areas)]
        return float(defined.mean()) if defined.size else float("nan")

    return over_classes


def sums(
    metric: str, y_true: TrueValues, predictions: Predictions, cell: Integers, cells: int
) -> Floats:
    """Return (cells, k) sums of an additive metric; those of several cells add up to the sums of
    their union.

    Args:
        metric: An additive one.
        y_true: (n,).
        predictions: (n,).
        cell: (n,) in [0, cells).
        cells: How many.
    """
    if metric in PER_CLASS:
        return _class_sums(y_true, predictions, cell, cells)
    weights = y_true.row_weights
    columns = [losses(metric, y_true, predictions) * weights, weights]
    if metric == "r2":
        # against cancellation: large targets with small variance
        centred = y_true.values - y_true.values.mean()
        columns += [centred * weights, centred**2 * weights]
    return np.column_stack([np.bincount(cell, column, minlength=cells) for column in columns])


def losses(metric: str, y_true: TrueValues, predictions: Predictions) -> Floats:
    """Return the (n,) losses whose mean over rows is the metric (for rmse and r2: the squared
    errors).
    """
    if metric == "accuracy":
        return np.asarray(y_true.values == predictions.values, dtype=np.float64)
    if metric == "mae":
        return np.asarray(np.abs(y_true.values - predictions.values), dtype=np.float64)
    if metric in ("rmse", "r2"):
        return np.asarray(np.square(y_true.values - predictions.values), dtype=np.float64)
    assert predictions.probabilities is not None
    given = np.take_along_axis(predictions.probabilities, y_true.values[:, None], axis=1)[:, 0]
    if metric == "log_loss":
        return np.asarray(-np.log(np.clip(given, np.finfo(np.float64).eps, 1.0)))
    squares = np.einsum("ij,ij->i", predictions.probabilities, predictions.probabilities)
    brier = np.asarray(squares - 2 * given + 1, dtype=np.float64)
    if len(y_true.classes) == 2:
        return brier / 2  # Brier's score of the positive class, in [0, 1]
    return brier


def value(metric: str, added: Floats) -> Floats:
    """Return the (...) metric of (..., k) `sums`, NaN where it is not defined."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if metric in PER_CLASS:
            return _class_value(metric, added.reshape(*added.shape[:-1], 3, -1))
        mean = added[..., 0] / added[..., 1]
        if metric == "r2":
            spread = added[..., 3] - added[..., 2] ** 2 / added[..., 1]
            tiny = 1e-12 * added[..., 3]  # a constant target leaves only rounding
            return np.where(spread > tiny, 1 - added[..., 0] / spread, np.nan)
        if metric == "rmse":
            return np.asarray(np.sqrt(mean))
        return np.asarray(mean)


def _class_sums(y_true: TrueValues, predictions: Predictions, cell: Integers, cells: int) -> Floats:
    """Return (cells, 3 * classes) weights of hits, of predictions and of true rows for each
    class.
    """
    kinds, weights = len(y_true.classes), y_true.row_weights
    hit = y_true.values == predictions.values
    counts = [
        (y_true.values, weights * hit),
        (predictions.values, weights),
        (y_true.values, weights),
    ]
    size = cells * kinds
    tables = []
    for kind, weight in counts:
        table = np.bincount(cell * kinds + kind, weight, minlength=size)
        tables.append(table.reshape(cells, kinds))
    return np.concatenate(tables, axis=1)


def _class_value(metric: str, added: Floats) -> Floats:
    """Return the (...) metric of (..., 3, classes) sums."""
    hits, predicted, actual = added[..., 0, :], added[..., 1, :], added[..., 2, :]
    if metric == "balanced_accuracy":
        return _mean_where(actual > 0, hits / actual)
    f1 = 2 * hits / (predicted + actual)
    if metric == "f1_macro":
        return _mean_where(predicted + actual > 0, f1)
    return np.asarray(np.where(actual > 0, f1 * actual, 0).sum(axis=-1) / actual.sum(axis=-1))


def _mean_where(occurs: np.ndarray, values: Floats) -> Floats:
    return np.asarray(np.where(occurs, values, 0).sum(axis=-1) / occurs.sum(axis=-1))
