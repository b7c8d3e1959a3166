"""Render the report. The page loads nothing; every value is escaped."""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from onerun.config.evaluation import GREATER_IS_BETTER
from onerun.domain.evaluation_details import EvaluationDetails
from onerun.domain.slices import Slice
from onerun.domain.text import number, percent

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATE = Path(__file__).with_name("page.html.jinja")
STYLE = Path(__file__).with_name("style.css")
ALT_TEXTS = {
    "predicted_vs_actual": "Predicted values against actual values of the test rows",
    "residuals": "Actual minus predicted against the predicted value",
    "residuals_histogram": "Histogram of actual minus predicted",
    "confusion_matrix": "Test rows by actual and predicted class",
    "roc": "True positive rate against false positive rate",
    "precision_recall": "Precision against recall",
    "calibration": "How often what was predicted with a probability came true",
    "importance": "Importance of the columns",
}
TITLES = {
    "r2": "R²",
    "rmse": "RMSE",
    "mae": "MAE",
    "roc_auc": "ROC AUC",
    "f1_macro": "F1 (macro)",
    "f1_weighted": "F1 (weighted)",
    "brier": "Brier score",
}


@dataclass(frozen=True)
class MetricRow:
    """A line of the table of metrics."""

    name: str
    title: str
    model: str
    baseline: str
    champion: str
    change: str
    # than the champion, or the baseline without one; None: equal or not measured
    better: bool | None


@dataclass(frozen=True)
class SliceRow:
    """A line of the table of slices; `share` is the length of its bar, in percent."""

    value: str
    rows: str
    metrics: list[str]
    share: float
    worse: bool


def render(details: EvaluationDetails, plots: Mapping[str, bytes]) -> str:
    """Return the page, the same for the same details; `plots`: file name -> PNG."""
    environment = page_environment()
    environment.filters |= {"number": number, "title": title}
    evaluation = details.evaluation
    images = []
    for name, png in plots.items():
        stem = Path(name).stem
        images.append((ALT_TEXTS.get(stem, stem), _data_uri(png)))
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        details=details,
        evaluation=evaluation,
        recipe=details.recipe,
        passed=sum(gate.held for gate in evaluation.gates),
        other="champion" if evaluation.champion_metrics else "baseline",
        lower_is_better=evaluation.primary not in GREATER_IS_BETTER,
        metrics=list(metric_rows(details)),
        slices=list(slice_tables(details)),
        images=images,
        recipe_text=recipe_text(details),
    )


def page_environment() -> "Environment":
    """Return the environment of all pages: every value is escaped, `style` holds their common style
    sheet.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals["style"] = Markup(STYLE.read_text(encoding="utf-8"))
    return environment


def title(metric: str) -> str:
    """Return the metric as people write it."""
    return TITLES.get(metric, metric.replace("_", " ").capitalize())


def recipe_text(details: EvaluationDetails) -> str:
    """Return the recipe as YAML, only the keys that were set."""
    set_values = details.recipe.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return str(yaml.safe_dump(set_values, sort_keys=False, allow_unicode=True, width=100))


def metric_rows(details: EvaluationDetails) -> Iterator[MetricRow]:
    """Yield the primary metric first, then the others in their order."""
    evaluation = details.evaluation
    champion = evaluation.champion_metrics or {}
    other = champion or evaluation.baseline_metrics
    for name in sorted(evaluation.metrics, key=lambda name: name != evaluation.primary):
        mine, theirs = evaluation.metrics[name], other.get(name)
        baseline, holder = _shown(evaluation.baseline_metrics, name), _shown(champion, name)
        better = None
        if theirs is not None and mine != theirs:
            better = (mine > theirs) == (name in GREATER_IS_BETTER)
        yield MetricRow(
            name=name,
            title=title(name),
            model=number(mine),
            baseline=baseline,
            champion=holder,
            change=_change(mine, theirs),
            better=better,
        )


def _shown(metrics: Mapping[str, float], name: str) -> str:
    return number(metrics[name]) if name in metrics else "–"


def _change(mine: float, theirs: float | None) -> str:
    if theirs is None:
        return "–"
    if mine == theirs:
        return "equal"
    sign = "+" if mine > theirs else "−"
    # a share of something near 0 means nothing (the baseline's r2 is about 0)
    if abs(theirs) < 0.05 * abs(mine):
        return f"{sign}{number(abs(mine - theirs))}"
    return f"{sign}{percent(abs(mine - theirs) / abs(theirs))}"


def slice_tables(details: EvaluationDetails) -> Iterator[tuple[str, list[str], list[SliceRow]]]:
    """Yield column, metrics (the primary one first) and rows for each table; the bar is the primary
    metric.
    """
    primary = details.evaluation.primary
    for column, group in groupby(details.slices, key=lambda part: part.column):
        parts = list(group)
        order = sorted(details.evaluation.metrics, key=lambda name: name != primary)
        names = [name for name in order if any(name in part.metrics for part in parts)][:5]
        largest = max((abs(part.metrics.get(primary, 0.0)) for part in parts), default=0.0) or 1.0
        overall = details.evaluation.metrics.get(primary)
        yield column, names, [_slice_row(part, names, primary, largest, overall) for part in parts]


def _slice_row(
    part: Slice, names: list[str], primary: str, largest: float, overall: float | None
) -> SliceRow:
    mine = part.metrics.get(primary)
    worse = False
    if mine is not None and overall is not None and mine != overall:
        worse = (mine < overall) == (primary in GREATER_IS_BETTER)
    shown = [_shown(part.metrics, name) for name in names]
    share = round(100 * abs(mine or 0.0) / largest, 1)
    return SliceRow(part.value, f"{part.rows:,}", shown, share, worse)


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
