"""Plots of a regression: predicted against actual, and what is left over."""

from typing import Any

import numpy as np

from domain.outcomes import Floats, Predictions, Truth
from domain.plots import style


def draw(truth: Truth, predictions: Predictions, target: str) -> dict[str, bytes]:
    """Returns: file name -> PNG."""
    actual, predicted = truth.values, predictions.values
    return {
        "predicted_vs_actual.png": _predicted_vs_actual(actual, predicted, target),
        "residuals.png": _residuals(actual, predicted, target),
    }


def _predicted_vs_actual(actual: Floats, predicted: Floats, target: str) -> bytes:
    figure, pair = style.axes("Predicted against actual", f"actual {target}", "predicted")
    style.cloud(pair, actual, predicted)
    ends = [min(actual.min(), predicted.min()), max(actual.max(), predicted.max())]
    pair.plot(ends, ends, color=style.RED, linewidth=1.2, linestyle="--", label="perfect")
    _readable(pair.xaxis, ends)
    _readable(pair.yaxis, ends)
    style.legend(pair, "upper left")
    return style.png(figure)


def _residuals(actual: Floats, predicted: Floats, target: str) -> bytes:
    left_over = actual - predicted
    labels = [("actual minus predicted", "test rows"), (f"predicted {target}", "actual minus predicted")]
    figure, (histogram, against) = style.panels("Residuals", labels)
    histogram.hist(left_over, bins=50, color=style.BLUE, alpha=0.85)
    histogram.axvline(0, color=style.RED, linewidth=1.2, linestyle="--")
    style.cloud(against, predicted, left_over)
    against.axhline(0, color=style.RED, linewidth=1.2, linestyle="--")
    ends = [left_over.min(), left_over.max()]
    _readable(histogram.xaxis, ends)
    _readable(against.yaxis, ends)
    _readable(against.xaxis, [predicted.min(), predicted.max()])
    return style.png(figure)


def _readable(axis: Any, ends: list[float]) -> None:
    """Large amounts read 200k and 1.5M, not 200000 and 1.5e6."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(6))
    if 1e4 <= float(np.abs(ends).max()) < 1e15:
        axis.set_major_formatter(EngFormatter(sep=""))
