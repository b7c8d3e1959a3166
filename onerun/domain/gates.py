"""Gates: what must hold before the alias moves. Every gate is checked and gives its reason, passed or failed."""

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

# the metric to look at first: the first of these that the model has (without probabilities there is no log_loss)
PRIMARY = {"regression": ("rmse",), "classification": ("log_loss", "accuracy")}


@dataclass(frozen=True)
class Scored:
    """A model on the test rows: what it said, and how good that was."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    predictions: Predictions | None = None
    version: str | None = None
    trouble: str = ""  # why it could not be judged, and what to do
    caveat: str = ""  # why it may look better than it is


@dataclass(frozen=True)
class Comparison:
    """All that gates look at."""

    y_true: TrueValues
    primary: str
    model: Scored
    baseline: Scored
    champion: Scored | None  # None: the alias points at nothing yet


def primary(recipe: Recipe, task: str, measured: Mapping[str, float]) -> str:
    """Return the metric that the recipe names first, or the usual one of the task among those measured."""
    usual = PRIMARY[task]
    return recipe.evaluate.primary or next(
        (metric for metric in usual if metric in measured), usual[0]
    )


def check_evaluation(recipe: Recipe, task: str) -> list[Mistake]:
    """Return a mistake for every metric that the task (regression, classification) does not have."""
    known = REGRESSION_METRICS if task == "regression" else CLASSIFICATION_METRICS
    named = [("evaluate.primary", recipe.evaluate.primary), *_metrics_of_gates(recipe)]
    other = "classification" if task == "regression" else "regression"
    return [
        Mistake(
            key, f"{metric} measures {other}, and this is {task}; choose one of {', '.join(known)}"
        )
        for key, metric in named
        if metric in get_args(Metric) and metric not in known
    ]


def _metrics_of_gates(recipe: Recipe) -> Iterator[tuple[str, str | None]]:
    for position, gate in enumerate(recipe.gates):
        if isinstance(gate, Threshold):
            yield f"gates.{position}.metric", gate.metric
        else:
            yield f"gates.{position}.on", gate.on


def check_gates(gates: tuple[Gate, ...], contest: Comparison) -> tuple[GateResult, ...]:
    """Return one result per gate, in their order. The alias may move when all of them held."""
    return tuple(
        _threshold(gate, contest) if isinstance(gate, Threshold) else _better_than(gate, contest)
        for gate in gates
    )


def _threshold(gate: Threshold, contest: Comparison) -> GateResult:
    measured = contest.model.metrics.get(gate.metric)
    if measured is None:
        return GateResult(
            rule=gate.rule, held=False, reason=_not_measured(gate.metric, "the model")
        )
    if gate.min is not None and measured < gate.min:
        return GateResult(
            rule=gate.rule,
            held=False,
            reason=f"{gate.metric} {number(measured)} is below {number(gate.min)}",
        )
    if gate.max is not None and measured > gate.max:
        return GateResult(
            rule=gate.rule,
            held=False,
            reason=f"{gate.metric} {number(measured)} is above {number(gate.max)}",
        )
    return GateResult(rule=gate.rule, held=True, reason=f"{gate.metric} is {number(measured)}")


def _better_than(gate: BetterThan, contest: Comparison) -> GateResult:
    metric = gate.on or contest.primary
    if gate.better_than == "champion" and contest.champion is None:
        return GateResult(rule=gate.rule, held=True, reason="no champion yet")
    other = contest.champion if gate.better_than == "champion" else contest.baseline
    assert other is not None
    whose = f"champion's (version {other.version})" if other.version else f"{gate.better_than}'s"
    if other.trouble:
        return GateResult(rule=gate.rule, held=False, reason=other.trouble)
    for judged, name in ((contest.model, "the model"), (other, f"the {gate.better_than}")):
        if metric not in judged.metrics:
            return GateResult(rule=gate.rule, held=False, reason=_not_measured(metric, name))
    mine, theirs = contest.model.metrics[metric], other.metrics[metric]
    held = bool(is_better(metric, np.array(mine), np.array(theirs), gate.by))
    reason = _difference(metric, mine, theirs, whose) + (
        f"; needs {percent(gate.by)}" if gate.by else ""
    )
    if gate.confidence is not None:
        share, resamples = _confidence(metric, gate.by, contest, other)
        held = held and share >= gate.confidence
        reason += f"; better{' by that' if gate.by else ''} in {percent(share)} of {resamples:,} resamples"
        reason += f", needs {percent(gate.confidence)}"
    return GateResult(
        rule=gate.rule, held=held, reason=reason + (f"; {other.caveat}" if other.caveat else "")
    )


def is_better(metric: str, mine: np.ndarray, theirs: np.ndarray, by: float) -> np.ndarray:
    """Return where mine is better, by at least the share `by` of theirs. Equal is not better, and nor is NaN."""
    gain = mine - theirs if metric in GREATER_IS_BETTER else theirs - mine
    return np.asarray((gain > 0) & (gain >= by * np.abs(theirs)))


def _confidence(metric: str, by: float, contest: Comparison, other: Scored) -> tuple[float, int]:
    assert contest.model.predictions is not None and other.predictions is not None
    mine, theirs = bootstrap.paired(
        metric, contest.y_true, contest.model.predictions, other.predictions
    )
    return float(is_better(metric, mine, theirs, by).mean()), len(mine)


def _difference(metric: str, mine: float, theirs: float, whose: str) -> str:
    if mine == theirs:
        return f"{metric} {number(mine)} equals the {whose}"
    apart = f"{percent(abs(mine - theirs) / abs(theirs))} " if theirs else ""
    return f"{metric} {number(mine)} is {apart}{'below' if mine < theirs else 'above'} the {whose} {number(theirs)}"


def _not_measured(metric: str, whom: str) -> str:
    needs = (
        " (it needs probabilities of more than one class)"
        if metric not in REGRESSION_METRICS
        else ""
    )
    return f"{metric} of {whom} is not defined on this test part{needs}; name another metric in the gate"


DECIDES_BY_PLACE = (
    "random",
    "stratified",
)  # these divide by a row's place in the table, not by what is in it


def overlap_caveat(
    data: Data, split: Split, digest: str, params: Mapping[str, str], champions_digest: str | None
) -> str:
    """Return why the champion may look better than it is, in words; nothing when its test rows are these too.

    Args:
        digest: of the snapshot that both are judged on.
        params: of the champion's run, as logged (`split.seed`, ...); empty where another program trained it.
        champions_digest: of the snapshot that it was trained on, where that is known.
    """
    if "split.by" not in params:
        return ""
    changed = [
        f"{key} {params[key]}, now {now}"
        for key, now in _split_params(data, split).items()
        if params.get(key) != now
    ]
    if changed:
        return _caveat(f"was divided otherwise ({', '.join(changed)})")
    if split.by in DECIDES_BY_PLACE and champions_digest not in (None, digest):
        return _caveat(
            f"divided another table, and split.by: {split.by} depends on the whole of it"
        )
    return ""


def _split_params(data: Data, split: Split) -> dict[str, str]:
    """What decides which rows are test rows, as a run logs it."""
    asked = {"split.by": split.by, "split.test": f"{split.test}", "split.seed": f"{split.seed}"}
    if split.by == "time":
        return {"split.by": split.by, "split.test": f"{split.test}", "data.time": f"{data.time}"}
    if split.by == "hash":
        return asked | {"split.columns": json.dumps(split.columns, ensure_ascii=False)}
    return asked | ({"data.group": f"{data.group}"} if split.by == "group" else {})


def _caveat(how: str) -> str:
    return (
        f"its training {how}: it may have learned from these test rows and look better than it is"
    )
