"""Everything that an evaluation found: what evaluation.json holds and the report shows."""

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
    """One evaluation, ready to be written."""

    run_id: str
    recipe: Recipe
    snapshot: Snapshot
    trained: TrainedModel
    evaluation: Evaluation
    slices: Sequence[Slice] = ()
    importance: Importance | None = None
    loss: str = ""  # what the loss of a worst row is
    worst: Sequence[WorstRow] = ()
    # metric -> part -> value after each round
    curves: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    trouble: str = ""  # why the champion could not be scored

    def as_json(self) -> str:
        """Return evaluation.json, the same text for the same details."""
        content = {
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
        return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)


def row_losses(y_true: TrueValues, predictions: Predictions) -> tuple[str, Any]:
    """Return the name of the loss, and (n,) its value for each row."""
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
    """Return the name of the loss, and the rows with the largest loss, worst first.

    Args:
        y_true: (n,).
        predictions: (n,).
        frame: (n, columns) raw values.
        positions: (n,) rows of the snapshot.
        columns: Whose values to show, the most important first.
    """
    name, loss = row_losses(y_true, predictions)
    shown = frame[list(columns[:WORST_COLUMNS])]
    rows = []
    for row in np.argsort(-loss, kind="stable")[:WORST_ROWS]:
        if loss[row] > 0:
            values = {str(column): _text(value) for column, value in shown.iloc[row].items()}
            predicted = _label(y_true, predictions.values[row])
            if predictions.probabilities is not None:
                probability = predictions.probabilities[row, predictions.values[row]]
                predicted = f"{predicted} ({probability:.1%})"
            rows.append(
                WorstRow(
                    row=int(positions[row]),
                    actual=_label(y_true, y_true.values[row]),
                    predicted=predicted,
                    loss=float(loss[row]),
                    values=values,
                )
            )
    return name, rows


def _label(y_true: TrueValues, value: Any) -> str:
    if y_true.classes:
        return str(y_true.classes[value])
    return f"{value:,.6g}"


def _text(value: Any) -> str:
    if pd.isna(value):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)[:80]
