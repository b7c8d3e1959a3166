"""Plots of the training: importance of columns, and learning curves."""

from collections.abc import Mapping, Sequence

import numpy as np

from onerun.domain.importance import Importance
from onerun.domain.plots import style

MOST_COLUMNS = 20
CURVE_POINTS = 1_000
PARTS = {"training": style.BLUE, "validation": style.RED}


def draw_importance(importance: Importance) -> bytes:
    """Return PNG of the most important columns, largest on top."""
    top = sorted(importance.values.items(), key=lambda item: -item[1])[:MOST_COLUMNS][::-1]
    height = max(style.HEIGHT, 0.23 * len(top) + 1.1)
    figure, axes = style.axes("Importance of columns", importance.meaning, "", height, left=0.34)
    axes.barh(range(len(top)), [value for _, value in top], color=style.BLUE, height=0.7)
    axes.set_yticks(range(len(top)), [style.shown(name, 24) for name, _ in top])
    axes.grid(visible=False, axis="y")
    return style.png(figure)


def draw_curve(metric: str, parts: Mapping[str, Sequence[float]], best: int | None) -> bytes:
    """Return PNG of a learning curve; `parts`: training, validation -> the metric after each
    round.
    """
    figure, axes = style.axes(f"Learning curve: {metric}", "round", metric)
    for position, (part, values) in enumerate(parts.items()):
        rounds = np.unique(np.linspace(0, len(values) - 1, CURVE_POINTS).astype(np.intp))
        colour = PARTS.get(part, style.COLOURS[(position + 2) % len(style.COLOURS)])
        axes.plot(
            rounds + 1,
            np.asarray(values)[rounds],
            label=style.shown(part),
            color=colour,
            linewidth=1.6,
        )
    style.readable(axes.yaxis, [value for values in parts.values() for value in values])
    if best:
        axes.axvline(
            best, color=style.GREY, linewidth=1, linestyle=":", label=f"kept: round {best}"
        )
    style.legend(axes, "best")
    return style.png(figure)
