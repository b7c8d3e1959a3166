"""The paired bootstrap: would the comparison come out the same on other rows of the same kind?

Both models are scored on the same resampled rows, so that what is hard for both cancels out (Efron
and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 8 and 13). Additive metrics need
only sums over rows. They are added up in at most 1,000 random cells of equal size, and whole cells
are resampled: the variance of a mean over random groups is an unbiased estimate of its variance
over rows (Wolter, Introduction to Variance Estimation, 2nd edition 2007, chapter 2), known here to
about 1 part in 20 (the square root of 2/1,000). So 200,000 rows cost what 1,000 cost.

Ordered metrics are resampled by rows, up to 20,000 of them; more are thinned out at random, which
only widens the distribution: a gate becomes stricter, never laxer.

Rows that belong together (a recipe that splits by group) are no independent evidence: then whole
groups are resampled (Davison and Hinkley, Bootstrap Methods and their Application, 1997, section
3.8).
"""

import numpy as np

from onerun.domain import metrics
from onerun.domain.predictions import Floats, Integers, Predictions, TrueValues

SEED = 20_240_601  # stated, so that the same rows give the same answer on every try
RESAMPLES = 2_000
CELLS = 1_000
ORDERED_RESAMPLES = 500
ORDERED_ROWS = 20_000

Pair = tuple[Floats, Floats]


def paired(metric: str, y_true: TrueValues, model: Predictions, other: Predictions) -> Pair:
    """Return the metric of both models on the same resamples: two (resamples,) arrays, NaN where
    not defined.
    """
    if metric in metrics.ORDERED:
        return _by_rows(metric, y_true, model, other)
    rng = np.random.default_rng(SEED)
    cell, cells = _cells(rng, y_true)
    counts = _counts(rng, RESAMPLES, cells)
    first = metrics.sums(metric, y_true, model, cell, cells)
    second = metrics.sums(metric, y_true, other, cell, cells)
    return metrics.value(metric, counts @ first), metrics.value(metric, counts @ second)


def _cells(rng: np.random.Generator, y_true: TrueValues) -> tuple[Integers, int]:
    """Return the (rows,) cells of the rows, with each group in one cell, and how many cells there
    are.
    """
    units = y_true.groups
    if units is None:
        units = np.arange(y_true.rows)
    count = int(units.max()) + 1
    cells = min(CELLS, count)
    return (rng.permutation(count) % cells)[units], cells


def _by_rows(metric: str, y_true: TrueValues, model: Predictions, other: Predictions) -> Pair:
    rng = np.random.default_rng(SEED)
    kept = np.sort(rng.permutation(y_true.rows)[:ORDERED_ROWS])
    thin = y_true.take(kept)
    first = metrics.ordered(metric, thin, model.take(kept))
    second = metrics.ordered(metric, thin, other.take(kept))
    cell, cells = np.arange(thin.rows), thin.rows
    if thin.groups is not None:
        cell, cells = _cells(rng, thin)
    values = np.empty((2, ORDERED_RESAMPLES))
    for resample in range(ORDERED_RESAMPLES):
        weights = _counts(rng, 1, cells)[0][cell] * thin.row_weights
        values[:, resample] = first(weights), second(weights)
    return values[0], values[1]


def _counts(rng: np.random.Generator, resamples: int, units: int) -> Floats:
    """Return (resamples, units) counts of draws with replacement, `units` draws a resample."""
    draws: Integers = rng.integers(0, units, (resamples, units))
    draws += np.arange(resamples)[:, None] * units
    counts = np.bincount(draws.ravel(), minlength=resamples * units)
    return counts.reshape(resamples, units).astype(np.float64)
