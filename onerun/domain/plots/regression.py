"""Plots of a regression: predicted against actual, and residuals."""

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
    figure, axes = style.axes("Predicted against actual", f"actual {target}", "predicted")
    style.cloud(axes, actual, predicted)
    ends = np.array([min(actual.min(), predicted.min()), max(actual.max(), predicted.max())])
    axes.plot(ends, ends, color=style.RED, linewidth=1.2, linestyle="--", label="perfect")
    style.readable(axes.xaxis, ends)
    style.readable(axes.yaxis, ends)
    style.legend(axes, "upper left")
    return style.png(figure)


def _residuals(predicted: Floats, residuals: Floats, target: str) -> bytes:
    figure, axes = style.axes(
        "Residuals against predicted", f"predicted {target}", "actual minus predicted"
    )
    style.cloud(axes, predicted, residuals)
    axes.axhline(0, color=style.RED, linewidth=1.2, linestyle="--")
    style.readable(axes.xaxis, predicted)
    style.readable(axes.yaxis, residuals)
    return style.png(figure)


def _spread(residuals: Floats) -> bytes:
    figure, axes = style.axes("Residuals", "actual minus predicted", "test rows")
    axes.hist(
        residuals,
        bins=int(np.clip(2 * np.sqrt(len(residuals)), 5, 50)),
        color=style.BLUE,
        alpha=0.85,
    )
    axes.axvline(0, color=style.RED, linewidth=1.2, linestyle="--")
    style.readable(axes.xaxis, residuals)
    return style.png(figure)
