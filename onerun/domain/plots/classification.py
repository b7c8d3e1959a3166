"""Plots of a classification: confusion, ROC, precision and recall, calibration. Of many classes:
the most frequent.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from onerun.domain import metrics
from onerun.domain.plots import style
from onerun.domain.predictions import Floats, Integers, Predictions, TrueValues

MOST_IN_MATRIX = 15
MOST_CURVES = 6
CURVE_POINTS = 400
CALIBRATION_BINS = 10


def draw(
    y_true: TrueValues, predictions: Predictions, champion: Predictions | None
) -> dict[str, bytes]:
    """Return file name -> PNG; those of probabilities only when the model gives them."""
    drawn = {"confusion_matrix.png": _confusion(y_true, predictions)}
    if predictions.probabilities is not None and len(np.unique(y_true.values)) > 1:
        drawn |= _curves(y_true, predictions, champion)
        drawn["calibration.png"] = _calibration(y_true, predictions.probabilities)
    return drawn


def _confusion(y_true: TrueValues, predictions: Predictions) -> bytes:
    kinds = len(y_true.classes)
    flat = y_true.values * kinds + predictions.values
    counts = np.bincount(flat, minlength=kinds * kinds).reshape(kinds, kinds)
    kept = _frequent(y_true.values, kinds, MOST_IN_MATRIX)
    table = _folded(counts, kept)
    names = [str(y_true.classes[kind]) for kind in kept] + ["(other)"] * (len(kept) < kinds)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    figure, axes = style.axes("Confusion matrix", "predicted", "actual", left=0.22)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.grid(visible=False)
    few = len(names) <= 6
    axes.set_xticks(
        range(len(names)), [style.shown(name, 14) for name in names], rotation=0 if few else 40
    )
    axes.set_yticks(range(len(names)), [style.shown(name, 14) for name in names])
    for (row, column), count in np.ndenumerate(table):
        ink = "white" if shares[row, column] > 0.55 else style.INK
        text = f"{count:,}" if count or few else ""
        if few:
            text = f"{text}\n{shares[row, column]:.0%}"
        axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=9 if few else 6)
    return style.png(figure)


def _folded(counts: Integers, kept: list[int]) -> Integers:
    """Return the table of the kept classes, the others added up in a last row and column."""
    others = [kind for kind in range(len(counts)) if kind not in kept]
    if not others:
        return counts[np.ix_(kept, kept)]
    place = np.zeros((len(counts), len(kept) + 1), dtype=np.intp)
    place[kept, range(len(kept))] = 1
    place[others, -1] = 1
    return np.asarray(place.T @ counts @ place)


def _frequent(values: Integers, kinds: int, most: int) -> list[int]:
    """Return the most frequent classes, in their own order."""
    counts = np.bincount(values, minlength=kinds)
    return sorted(np.argsort(-counts, kind="stable")[:most].tolist())


def _curves(
    y_true: TrueValues, predictions: Predictions, champion: Predictions | None
) -> dict[str, bytes]:
    roc, roc_plot = style.axes("ROC", "false positive rate", "true positive rate")
    precision, precision_plot = style.axes("Precision and recall", "recall", "precision")
    for kind, name, colour, line, shown in _lines(y_true, predictions, champion):
        assert shown.probabilities is not None
        hits, alarms = metrics.Order(y_true.values == kind, shown.probabilities[:, kind]).counts(
            y_true.row_weights
        )
        if not (hits[-1] and alarms[-1]):
            continue
        area, average = metrics.roc_area(hits, alarms), metrics.precision_area(hits, alarms)
        thin = _thin(len(hits))
        drawn = {"color": colour, "linestyle": line, "linewidth": 1.6}
        roc_plot.plot(
            alarms[thin] / alarms[-1],
            hits[thin] / hits[-1],
            label=f"{name} (area {area:.3f})",
            **drawn,
        )
        taken = np.maximum((hits + alarms)[thin][1:], 1e-300)
        label = f"{name} (average {average:.3f})"
        precision_plot.plot(hits[thin][1:] / hits[-1], hits[thin][1:] / taken, label=label, **drawn)
    roc_plot.plot([0, 1], [0, 1], color=style.GREY, linewidth=1, linestyle=":")
    for plot, place in ((roc_plot, "lower right"), (precision_plot, "lower left")):
        plot.set_xlim(-0.02, 1.02)
        plot.set_ylim(-0.02, 1.04)
        style.legend(plot, place)
    return {"roc.png": style.png(roc), "precision_recall.png": style.png(precision)}


def _lines(
    y_true: TrueValues, predictions: Predictions, champion: Predictions | None
) -> Iterator[tuple[int, str, str, str, Predictions]]:
    """Yield class, name, colour, line style and predictions of every curve to draw."""
    if len(y_true.classes) == 2:
        if champion is not None and champion.probabilities is not None:
            yield 1, "champion", style.GREY, "--", champion
        yield 1, "model", style.BLUE, "-", predictions
        return
    for kind, colour in zip(
        _frequent(y_true.values, len(y_true.classes), MOST_CURVES), style.COLOURS, strict=False
    ):
        yield kind, style.shown(str(y_true.classes[kind])), colour, "-", predictions


def _thin(points: int) -> Integers:
    return np.unique(np.linspace(0, points - 1, CURVE_POINTS).astype(np.intp))


def _calibration(y_true: TrueValues, probabilities: Floats) -> bytes:
    figure, axes = style.axes("Calibration", "predicted probability", "share that came true")
    axes.plot([0, 1], [0, 1], color=style.GREY, linewidth=1, linestyle=":", label="perfect")
    binary = len(y_true.classes) == 2
    kinds = [1] if binary else _frequent(y_true.values, len(y_true.classes), MOST_CURVES)
    for kind, colour in zip(kinds, style.COLOURS, strict=False):
        predicted, observed = _bins(probabilities[:, kind], y_true.values == kind)
        axes.plot(predicted, observed, color=colour, marker="o", markersize=4, linewidth=1.6,
                  label=style.shown(str(y_true.classes[kind])))  # fmt: skip
    if binary:
        _spread(axes, probabilities[:, 1])
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.04)
    style.legend(axes, "upper left")
    return style.png(figure)


def _bins(predicted: Floats, is_true: Any) -> tuple[Floats, Floats]:
    """Return mean probability and share of true rows, in ten bins of equally many rows."""
    order = np.argsort(predicted, kind="stable")
    groups = [group for group in np.array_split(order, CALIBRATION_BINS) if group.size]
    means = np.array([predicted[group].mean() for group in groups])
    return means, np.array([is_true[group].mean() for group in groups])


def _spread(axes: Any, predicted: Floats) -> None:
    """Draw how often each probability is predicted, along the foot of the plot."""
    counts, edges = np.histogram(predicted, bins=25, range=(0, 1))
    heights = 0.18 * counts / max(counts.max(), 1)
    axes.bar(
        edges[:-1],
        heights,
        width=0.04,
        align="edge",
        color=style.SKY,
        alpha=0.35,
        label="how often",
    )
