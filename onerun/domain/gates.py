"""Gates: what must hold before the alias moves. Every gate is checked and gives its reason, passed
or failed.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import get_args

import numpy as np

from onerun.config.evaluation import (
    CLASSIFICATION_METRICS,
    GREATER_IS_BETTER,
    REGRESSION_METRICS,
    BetterThan,
    Gate,
    Metric,
    Threshold,
)
from onerun.config.mistakes import Mistake
from onerun.config.recipe import Data, Recipe, Split
from onerun.domain import bootstrap
from onerun.domain.predictions import Predictions, TrueValues
from onerun.domain.references import GateResult
from onerun.domain.text import number, percent

# the metric to look at first: the first of these that the model has
# (without probabilities there is no log_loss)
PRIMARY = {"regression": ("rmse",), "classification": ("log_loss", "accuracy")}


@dataclass(frozen=True)
class Scored:
    """A model's predictions of the test rows, and their metrics."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    predictions: Predictions | None = None
    version: str | None = None
    trouble: str = ""  # why it could not be scored, and what to do
    caveat: str = ""  # why it may look better than it is


@dataclass(frozen=True)
class Comparison:
    """The challenger, the baseline and the champion on the same test rows."""

    y_true: TrueValues
    primary: str
    model: Scored
    baseline: Scored
    champion: Scored | None = None  # None: nothing was promoted yet


def primary(recipe: Recipe, task: str, measured: Mapping[str, float]) -> str:
    """Return the metric that the recipe names first, or the usual one of the task among those
    measured.
    """
    if recipe.evaluate.primary:
        return recipe.evaluate.primary
    for metric in PRIMARY[task]:
        if metric in measured:
            return metric
    return PRIMARY[task][0]


def check_evaluation(recipe: Recipe, task: str) -> list[Mistake]:
    """Return a mistake for every metric that the task (regression, classification) does not
    have.
    """
    known: tuple[str, ...] = CLASSIFICATION_METRICS
    other = "regression"
    if task == "regression":
        known, other = REGRESSION_METRICS, "classification"
    mistakes = []
    for key, metric in [("evaluate.primary", recipe.evaluate.primary), *_metrics_of_gates(recipe)]:
        if metric in get_args(Metric) and metric not in known:
            reason = f"{metric} measures {other}, and this is {task}"
            mistakes.append(Mistake(key, f"{reason}; choose one of {', '.join(known)}"))
    return mistakes


def _metrics_of_gates(recipe: Recipe) -> Iterator[tuple[str, str | None]]:
    for position, gate in enumerate(recipe.gates):
        if isinstance(gate, Threshold):
            yield f"gates.{position}.metric", gate.metric
        else:
            yield f"gates.{position}.on", gate.on


def check_gates(gates: tuple[Gate, ...], comparison: Comparison) -> tuple[GateResult, ...]:
    """Return one result per gate, in their order. The alias may move when all gates passed."""
    results = []
    for gate in gates:
        if isinstance(gate, Threshold):
            passed, reason = _check_threshold(gate, comparison)
        else:
            passed, reason = _check_better_than(gate, comparison)
        results.append(GateResult(kind=gate.kind, rule=gate.rule, held=passed, reason=reason))
    return tuple(results)


def _check_threshold(gate: Threshold, comparison: Comparison) -> tuple[bool, str]:
    """Return whether the gate passed, and why."""
    metric = gate.metric
    if metric not in comparison.model.metrics:
        return False, _not_measured(metric, "the model")
    measured = comparison.model.metrics[metric]
    if gate.min is not None and measured < gate.min:
        return False, f"{metric} {number(measured)} is below {number(gate.min)}"
    if gate.max is not None and measured > gate.max:
        return False, f"{metric} {number(measured)} is above {number(gate.max)}"
    return True, f"{metric} is {number(measured)}"


def _check_better_than(gate: BetterThan, comparison: Comparison) -> tuple[bool, str]:
    """Return whether the gate passed, and why."""
    metric, model = gate.on or comparison.primary, comparison.model
    other = comparison.champion if gate.better_than == "champion" else comparison.baseline
    if other is None:
        return True, "no champion yet"
    if other.trouble:
        return False, other.trouble
    for scored, name in ((model, "the model"), (other, f"the {gate.better_than}")):
        if metric not in scored.metrics:
            return False, _not_measured(metric, name)
    mine, theirs = model.metrics[metric], other.metrics[metric]
    passed = bool(is_better(metric, np.array(mine), np.array(theirs), gate.by))
    version = f" (version {other.version})" if other.version else ""
    reasons = [_difference(metric, mine, theirs, f"{gate.better_than}'s{version}")]
    if gate.by:
        reasons.append(f"needs {percent(gate.by)}")
    if gate.confidence is not None:
        share, resamples = _confidence(metric, gate.by, comparison, other)
        passed = passed and share >= gate.confidence
        margin = " by that" if gate.by else ""
        reasons.append(
            f"better{margin} in {percent(share)} of {resamples:,} resamples, "
            f"needs {percent(gate.confidence)}"
        )
    if other.caveat:
        reasons.append(other.caveat)
    return passed, "; ".join(reasons)


def is_better(metric: str, mine: np.ndarray, theirs: np.ndarray, by: float) -> np.ndarray:
    """Return where mine is better, by at least the share `by` of theirs. Equal is not better, and
    nor is NaN.
    """
    gain = theirs - mine
    if metric in GREATER_IS_BETTER:
        gain = mine - theirs
    return np.asarray((gain > 0) & (gain >= by * np.abs(theirs)))


def _confidence(metric: str, by: float, comparison: Comparison, other: Scored) -> tuple[float, int]:
    assert comparison.model.predictions is not None and other.predictions is not None
    mine, theirs = bootstrap.paired(
        metric, comparison.y_true, comparison.model.predictions, other.predictions
    )
    return float(is_better(metric, mine, theirs, by).mean()), len(mine)


def _difference(metric: str, mine: float, theirs: float, whose: str) -> str:
    if mine == theirs:
        return f"{metric} {number(mine)} equals the {whose}"
    side = "below" if mine < theirs else "above"
    if theirs:
        side = f"{percent(abs(mine - theirs) / abs(theirs))} {side}"
    return f"{metric} {number(mine)} is {side} the {whose} {number(theirs)}"


def _not_measured(metric: str, whom: str) -> str:
    needs = ""
    if metric not in REGRESSION_METRICS:
        needs = " (it needs probabilities of more than one class)"
    return (
        f"{metric} of {whom} is not defined on this test part{needs}; "
        "name another metric in the gate"
    )


# these divide by the position of a row, not by its content
SPLITS_BY_POSITION = ("random", "stratified")


def overlap_caveat(
    data: Data, split: Split, digest: str, params: Mapping[str, str], champions_digest: str | None
) -> str:
    """Return why the champion may have learned from the present test rows; empty when it did not.

    Args:
        data: The recipe's section.
        split: The recipe's section.
        digest: Of the snapshot that both are scored on.
        params: Of the champion's run, as logged (`split.seed`, ...); empty where another program
            trained it.
        champions_digest: Of the snapshot that it was trained on, where that is known.
    """
    if "split.by" not in params:
        return ""
    changed = []
    for key, now in _split_params(data, split).items():
        if params.get(key) != now:
            changed.append(f"{key} {params[key]}, now {now}")
    if changed:
        return _caveat(f"was divided otherwise ({', '.join(changed)})")
    if split.by in SPLITS_BY_POSITION and champions_digest not in (None, digest):
        return _caveat(
            f"divided another table, and split.by: {split.by} depends on the whole of it"
        )
    return ""


def _split_params(data: Data, split: Split) -> dict[str, str]:
    """Return the parameters that decide which rows are test rows, as a run logs them."""
    params = {"split.by": split.by, "split.test": f"{split.test}", "split.seed": f"{split.seed}"}
    if split.by == "time":
        return {"split.by": split.by, "split.test": f"{split.test}", "data.time": f"{data.time}"}
    if split.by == "hash":
        params["split.columns"] = json.dumps(split.columns, ensure_ascii=False)
    if split.by == "group":
        params["data.group"] = f"{data.group}"
    return params


def _caveat(how: str) -> str:
    return (
        f"its training {how}: it may have learned from these test rows and look better than it is"
    )
