"""The style of all plots, with matplotlib's object interface and Agg: no pyplot, no global state,
no display.
"""

import io
from typing import Any

import numpy as np

from onerun.domain.predictions import Floats

# Okabe and Ito's colours, told apart by people with any kind of colour blindness
BLUE, ORANGE, GREEN, PURPLE, SKY, RED, YELLOW, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#B8A800", "#7F7F7F",
)  # fmt: skip
COLOURS = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY, YELLOW, GREY)
INK, GRID = "#333333", "#E3E3E3"
WIDTH, HEIGHT, DPI = 5.2, 4.0, 130
MOST_POINTS = 5_000
BINS = 70
LONGEST_LABEL = 28


def axes(title: str, x: str, y: str, height: float = HEIGHT, left: float = 0.16) -> tuple[Any, Any]:
    """Return a figure with one set of axes, in the common style. Margins are fixed: measuring
    labels draws it twice.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor="white")
    figure.subplots_adjust(left, 0.62 / height, 0.97, 1 - 0.42 / height)
    figure.suptitle(
        shown(title, 90), x=0.5, y=1 - 0.08 / height, va="top", fontsize=10.5, color=INK
    )
    plot = figure.add_subplot()
    plot.set_xlabel(shown(x, 60), fontsize=9, color=INK)
    plot.set_ylabel(shown(y, 45), fontsize=9, color=INK)
    plot.tick_params(labelsize=8, colors=INK, length=0)
    plot.grid(color=GRID, linewidth=0.7)
    plot.set_axisbelow(True)
    for side in ("top", "right", "left", "bottom"):
        plot.spines[side].set_visible(False)
    return figure, plot


def readable(axis: Any, values: Any) -> None:
    """Label large amounts as 200k and 1.5M, not 200000 and 1.5e6."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    if 1e4 <= float(np.abs(values).max()) < 1e15:
        axis.set_major_formatter(EngFormatter(sep=""))


def shown(text: str, longest: int = LONGEST_LABEL) -> str:
    """Return text safe to draw: a dollar sign starts no formula, and long text is cut in the
    middle.
    """
    text = " ".join(str(text).split())
    if len(text) > longest:
        half = (longest - 1) // 2
        text = f"{text[:half]}…{text[-half:]}"
    return text.replace("$", r"\$")


def cloud(plot: Any, x: Floats, y: Floats) -> None:
    """Draw points where they are few, else their density, so that the plot of a million rows costs
    no more.
    """
    if len(x) <= MOST_POINTS:
        size = float(np.clip(4_000 / max(len(x), 1), 3, 20))
        plot.scatter(x, y, s=size, alpha=0.35, color=BLUE, linewidths=0)
        return
    counts, across, up = np.histogram2d(x, y, bins=BINS)
    density = np.ma.masked_equal(counts.T, 0)
    box = (across[0], across[-1], up[0], up[-1])
    plot.imshow(
        np.log1p(density),
        extent=box,
        origin="lower",
        aspect="auto",
        cmap="viridis_r",
        interpolation="nearest",
    )


def legend(plot: Any, place: str) -> None:
    """Put the names of the lines at `place`."""
    plot.legend(loc=place, fontsize=8, frameon=True, framealpha=0.9, edgecolor=GRID, labelcolor=INK)


def png(figure: Any) -> bytes:
    """Return the picture's bytes, the same for the same figure (no date, no version inside)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(
        buffer, metadata={"Software": None}, pil_kwargs={"compress_level": 6}
    )
    return buffer.getvalue()
