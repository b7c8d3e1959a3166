"""All that an evaluation found out: what evaluation.json keeps and the report shows."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from onerun.config.recipe import Recipe
from onerun.domain import bootstrap
from onerun.domain.importance import Importance
from onerun.domain.metrics import losses
from onerun.domain.predictions import Integers, Predictions, TrueValues
from onerun.domain.references import Evaluation, Snapshot, TrainedModel
from onerun.domain.slices import Slice

WORST_ROWS = 10
WORST_COLUMNS = 40


@dataclass(frozen=True)
class WorstRow:
    """A test row with one of the largest losses."""

    row: int  # its position in the snapshot
    actual: str
    predicted: str
    loss: float
    values: dict[str, str]


@dataclass(frozen=True)
class EvaluationDetails:
    """One evaluation, ready to be told."""

    run_id: str
    recipe: Recipe
    snapshot: Snapshot
    trained: TrainedModel
    evaluation: Evaluation
    slices: Sequence[Slice] = ()
    importance: Importance | None = None
    loss: str = ""  # what the loss of a worst row is
    worst: Sequence[WorstRow] = ()
    curves: Mapping[str, Mapping[str, Sequence[float]]] = field(
        default_factory=dict
    )  # metric -> part -> rounds
    trouble: str = ""  # why the champion could not be scored

    def as_json(self) -> str:
        """Return evaluation.json, the same text for the same findings."""
        kept = {
            **self.evaluation.model_dump(mode="json"),
            "run_id": self.run_id,
            "rows": self.trained.rows,
            "champion_trouble": self.trouble or None,
            "slices": [asdict(part) for part in self.slices],
            "importance": asdict(self.importance) if self.importance else None,
            "worst_rows": {"loss": self.loss, "rows": [asdict(row) for row in self.worst]},
            "bootstrap": {
                "seed": bootstrap.SEED,
                "resamples": bootstrap.RESAMPLES,
                "cells": bootstrap.CELLS,
            },
        }
        return json.dumps(kept, indent=1, ensure_ascii=False, allow_nan=False)


def row_losses(y_true: TrueValues, predictions: Predictions) -> tuple[str, Any]:
    """Return what is measured for each row, in words, and (n,) its value."""
    if not y_true.classes:
        return "absolute error", losses("mae", y_true, predictions)
    if predictions.probabilities is None:
        return "wrong (1) or right (0)", 1 - losses("accuracy", y_true, predictions)
    return "log loss", losses("log_loss", y_true, predictions)


def worst_rows(
    y_true: TrueValues,
    predictions: Predictions,
    frame: pd.DataFrame,
    positions: Integers,
    columns: Sequence[str],
) -> tuple[str, list[WorstRow]]:
    """Args: columns: whose values to show, the most telling first. Returns: the loss in words, rows, worst first."""
    name, loss = row_losses(y_true, predictions)
    rows = [row for row in np.argsort(-loss, kind="stable")[:WORST_ROWS] if loss[row] > 0]
    shown = frame[list(columns[:WORST_COLUMNS])]
    texts = [{str(key): _text(value) for key, value in shown.iloc[row].items()} for row in rows]
    return name, [
        WorstRow(
            int(positions[row]),
            _told(y_true, y_true.values[row]),
            _said(y_true, predictions, row),
            float(loss[row]),
            values,
        )
        for row, values in zip(rows, texts, strict=True)
    ]


def _told(y_true: TrueValues, value: Any) -> str:
    return str(y_true.classes[value]) if y_true.classes else f"{value:,.6g}"


def _said(y_true: TrueValues, predictions: Predictions, row: int) -> str:
    label = _told(y_true, predictions.values[row])
    if predictions.probabilities is None:
        return label
    return f"{label} ({predictions.probabilities[row, predictions.values[row]]:.1%})"


def _text(value: Any) -> str:
    if pd.isna(value):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)[:80]
