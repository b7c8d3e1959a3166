"""The frozen test part: read once, columnar, only the columns that are used."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from onerun.config.recipe import Recipe
from onerun.data import snapshots
from onerun.domain import columns, labels
from onerun.domain.estimators import Task
from onerun.domain.predictions import (
    Classes,
    Floats,
    Integers,
    Predictions,
    TrueValues,
    codes,
    union,
)
from onerun.domain.references import Snapshot
from onerun.domain.splits import TEST, TRAINING


@dataclass(frozen=True)
class Holdout:
    """The raw test rows, and target and weights of the training part."""

    frame: pd.DataFrame  # (n, columns) raw values; text as categories
    positions: Integers  # (n,) rows of the snapshot
    target: pd.Series  # (n,)
    weights: Floats | None  # (n,)
    groups: Integers | None  # (n,) of a recipe that splits by group
    training_target: pd.Series
    training_weights: Floats | None

    def true_values(self, name: str, task: Task, *known: Iterable[object]) -> TrueValues:
        """Return y_true; its classes are those of training, of the test part and all that models
        know.
        """
        if task == "regression":
            values = labels.numeric_target(name, self.target)
            return TrueValues(values, weights=self.weights, groups=self.groups)
        classes = union(self.classes(task), *known, self.target.unique())
        return TrueValues(codes(self.target, classes), classes, self.weights, self.groups)

    def classes(self, task: Task) -> Classes:
        """Return the classes of the training part, sorted; none for a regression."""
        if task != "classification":
            return ()
        return union((), self.training_target.unique())

    def baseline(self, y_true: TrueValues) -> Predictions:
        """Return predictions from the training target alone: its mean, or the frequencies of its
        classes.
        """
        if not y_true.classes:
            amounts = self.training_target.to_numpy(dtype=np.float64)
            return Predictions(
                np.full(y_true.rows, np.average(amounts, weights=self.training_weights))
            )
        training = codes(self.training_target, y_true.classes)
        counts = np.bincount(training, weights=self.training_weights, minlength=len(y_true.classes))
        shares = np.broadcast_to(counts / counts.sum(), (y_true.rows, len(y_true.classes)))
        return Predictions(np.full(y_true.rows, counts.argmax()), shares)


def read(recipe: Recipe, snapshot: Snapshot, features: Iterable[str]) -> Holdout:
    """Read the test part, with the `features` of all models.

    Raises:
        DataError: The table lacks a column of `evaluate.slices`.
    """
    data = recipe.data
    columns.require(recipe.evaluate.slices, snapshot.columns, "evaluate.slices")
    parts = snapshots.parts(snapshot, data, recipe.split)
    scored = [data.target]
    if data.weight:
        scored.append(data.weight)
    needed = {*features, *recipe.evaluate.slices, *scored}
    is_grouped = data.group is not None and recipe.split.by == "group"
    if is_grouped:
        needed.add(str(data.group))
    names = [name for name in snapshot.columns if name in needed]
    test = frame_of(snapshot, names, parts == TEST)
    training = frame_of(snapshot, scored, parts == TRAINING)
    weights, training_weights, groups = None, None, None
    if data.weight:
        weights = labels.weights_of(data.weight, test[data.weight])
        training_weights = labels.weights_of(data.weight, training[data.weight])
    if is_grouped:
        groups = pd.factorize(test[data.group], use_na_sentinel=False)[0]
    return Holdout(
        frame=test,
        positions=np.flatnonzero(parts == TEST),
        target=test[data.target],
        weights=weights,
        groups=groups,
        training_target=training[data.target],
        training_weights=training_weights,
    )


def frame_of(snapshot: Snapshot, names: list[str], mask: NDArray[np.bool_]) -> pd.DataFrame:
    """Return the rows of the mask; text as categories, which takes a tenth of the memory and the
    time.
    """
    table = snapshots.rows(snapshot, names, mask).unify_dictionaries()
    frame = table.to_pandas(
        strings_to_categorical=True, date_as_object=False, split_blocks=True, self_destruct=True
    )
    assert isinstance(frame, pd.DataFrame)
    return frame
