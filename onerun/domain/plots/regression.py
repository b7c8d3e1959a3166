"""Plots of a regression: predicted against actual, and what is left over."""

import numpy as np

from onerun.domain.plots import style
from onerun.domain.predictions import Floats, Predictions, TrueValues


def draw(y_true: TrueValues, predictions: Predictions, target: str) -> dict[str, bytes]:
    """Return file name -> PNG."""
    actual, predicted = y_true.values, predictions.values
    return {
        "predicted_vs_actual.png": _predicted_vs_actual(actual, predicted, target),
        "residuals.png": _residuals(predicted, actual - predicted, target),
        "residuals_histogram.png": _spread(actual - predicted),
    }


def _predicted_vs_actual(actual: Floats, predicted: Floats, target: str) -> bytes:
    figure, pair = style.axes("Predicted against actual", f"actual {target}", "predicted")
    style.cloud(pair, actual, predicted)
    ends = np.array([min(actual.min(), predicted.min()), max(actual.max(), predicted.max())])
    pair.plot(ends, ends, color=style.RED, linewidth=1.2, linestyle="--", label="perfect")
    style.readable(pair.xaxis, ends)
    style.readable(pair.yaxis, ends)
    style.legend(pair, "upper left")
    return style.png(figure)


def _residuals(predicted: Floats, left_over: Floats, target: str) -> bytes:
    figure, pair = style.axes(
        "Residuals against predicted", f"predicted {target}", "actual minus predicted"
    )
    style.cloud(pair, predicted, left_over)
    pair.axhline(0, color=style.RED, linewidth=1.2, linestyle="--")
    style.readable(pair.xaxis, predicted)
    style.readable(pair.yaxis, left_over)
    return style.png(figure)


def _spread(left_over: Floats) -> bytes:
    figure, pair = style.axes("Residuals", "actual minus predicted", "test rows")
    pair.hist(
        left_over,
        bins=int(np.clip(2 * np.sqrt(len(left_over)), 5, 50)),
        color=style.BLUE,
        alpha=0.85,
    )
    pair.axvline(0, color=style.RED, linewidth=1.2, linestyle="--")
    style.readable(pair.xaxis, left_over)
    return style.png(figure)
