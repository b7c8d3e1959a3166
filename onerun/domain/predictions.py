"""What was true of the test rows and what a model predicts for them. Labels are codes into one tuple of classes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from onerun.domain.errors import ModelUnusable

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]
Classes = tuple[Any, ...]


@dataclass(frozen=True)
class TrueValues:
    """What was true: (n,) float64 values, or, with classes, (n,) codes into them."""

    values: NDArray[Any]
    classes: Classes = ()  # empty: regression
    weights: Floats | None = None  # (n,), None: every row counts one
    groups: Integers | None = (
        None  # (n,) codes from 0 of rows that belong together, None: each stands for itself
    )

    @property
    def rows(self) -> int:
        """Return how many."""
        return len(self.values)

    @property
    def row_weights(self) -> Floats:
        """Return (n,) the weights, ones when there are none."""
        return np.ones(self.rows) if self.weights is None else self.weights

    def take(self, rows: NDArray[Any]) -> Self:
        """Return the y_true of these rows (positions or mask)."""
        weights, groups = (
            None if given is None else given[rows] for given in (self.weights, self.groups)
        )
        return type(self)(self.values[rows], self.classes, weights, groups)


@dataclass(frozen=True)
class Predictions:
    """What a model says: (n,) float64 values, or (n,) codes into the y_true's classes and (n, classes) probabilities."""

    values: NDArray[Any]
    probabilities: Floats | None = None  # None: regression, or a classifier that gives none

    def take(self, rows: NDArray[Any]) -> Self:
        """Return the predictions of these rows (positions or mask)."""
        probabilities = None if self.probabilities is None else self.probabilities[rows]
        return type(self)(self.values[rows], probabilities)


def union(known: Sequence[Any], *others: Iterable[Any]) -> Classes:
    """Return the known classes in their order, then those only others name, sorted. 1, 1.0 and True are one class."""
    seen = {_plain(label): None for label in known}
    texts = {str(label) for label in seen}
    fresh = {_plain(label) for other in others for label in other}
    unknown = [label for label in fresh if label not in seen and str(label) not in texts]
    return (*seen, *sorted(unknown, key=lambda label: (str(type(label)), label)))


def codes(labels: Any, classes: Classes) -> Integers:
    """Look up (n,) labels, an array or a Series, by value, else by text ("1" finds 1).

    Returns: (n,) positions in `classes`, -1 where a label is missing or none of them.
    """
    import pandas as pd

    positions, distinct = pd.factorize(labels)
    by_value = {label: position for position, label in enumerate(classes)}
    by_text = {str(label): position for position, label in enumerate(classes)}
    found = [by_value.get(plain, by_text.get(str(plain), -1)) for plain in map(_plain, distinct)]
    return np.append(np.array(found, dtype=np.intp), -1)[positions]


def aligned(probabilities: NDArray[Any], own: Sequence[Any], classes: Classes) -> Floats:
    """Return (n, len(classes)) probabilities, columns in the order of `classes`; 0 for those the model never saw."""
    columns = codes(np.array([*map(_plain, own)], dtype=object), classes)
    if len(own) == len(classes) and (columns == np.arange(len(classes))).all():
        return np.asarray(probabilities, dtype=np.float64)
    wide = np.zeros((len(probabilities), len(classes)))
    wide[:, columns] = probabilities
    return wide


def _plain(label: Any) -> Any:
    return label.item() if isinstance(label, np.generic) else label


TOLERANCE = 1e-3  # how far the probabilities of a row may be from adding up to 1: single precision and rounding


@dataclass(frozen=True)
class ModelOutput:
    """What came out of a model: (n,) numbers or labels; a classifier's (n, classes) probabilities and their order."""

    values: NDArray[Any]
    probabilities: Floats | None = None
    classes: Classes = ()

    def coded(self, classes: Classes) -> Predictions:
        """Return predictions with labels as codes into `classes`. Raises: ModelUnusable when a label is missing."""
        if not classes:
            return Predictions(self.values)
        found = codes(self.values, classes)
        if (found < 0).any():
            raise ModelUnusable(
                f"the model gives no label in {int((found < 0).sum())} of {len(found)} rows"
            )
        wide = (
            None
            if self.probabilities is None
            else aligned(self.probabilities, self.classes, classes)
        )
        return Predictions(found, wide)


def numeric_output(answered: Any, rows: int) -> ModelOutput:
    """Return a regression's answer. Raises: ModelUnusable when it is not one finite number per row."""
    array = _one_per_row(np.asarray(answered), rows)
    if array.ndim != 1:
        raise ModelUnusable(
            f"the model gives {array.shape[1]} values per row; a regression needs one"
        )
    try:
        values = array.astype(np.float64)
    except (TypeError, ValueError):
        raise ModelUnusable(f"the model gives {array[0]!r}; a regression needs numbers") from None
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise ModelUnusable(
            f"the model gives no finite number in {bad} of {rows} rows; it must answer every row"
        )
    return ModelOutput(values)


def class_output(answered: Any, rows: int, known: Classes) -> ModelOutput:
    """A classifier's answer: labels, a table of probabilities, or, of two classes, the second one's probability.

    Args: known: the classes of the training part, sorted; columns without names of classes are in this order.
    Raises: ModelUnusable.
    """
    array = _one_per_row(np.asarray(answered), rows)
    if array.ndim == 2:
        return probability_output(array, _classes_of_columns(answered, array.shape[1], known))
    if len(known) == 2 and array.dtype.kind == "f" and _is_fraction(array):
        return probability_output(np.column_stack([1 - array, array]), known)
    return ModelOutput(
        array, classes=union(known, np.unique(array) if array.dtype.kind in "iufb" else set(array))
    )


def probability_output(
    probabilities: NDArray[Any], classes: Classes, labels: NDArray[Any] | None = None
) -> ModelOutput:
    """Return the answer with the likeliest labels, when none are given. Raises: ModelUnusable."""
    wide = np.asarray(probabilities, dtype=np.float64)
    if (
        not np.isfinite(wide).all()
        or wide.min() < -TOLERANCE
        or np.abs(wide.sum(axis=1) - 1).max() > TOLERANCE
    ):
        raise ModelUnusable(
            "the model gives a table that is not probabilities: every row must add up to 1, without missing values; "
            "let predict give labels, or apply softmax to its scores"
        )
    likeliest = np.array([*classes, None], dtype=object)[:-1][wide.argmax(axis=1)]
    return ModelOutput(likeliest if labels is None else labels, wide, classes)


def _one_per_row(array: NDArray[Any], rows: int) -> NDArray[Any]:
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim not in (1, 2) or len(array) != rows:
        came = f"{len(array)} rows" if array.ndim else type(array.item()).__name__
        raise ModelUnusable(
            f"the model's predict gives {came} for {rows} rows; it must give one answer per row"
        )
    return array


def _classes_of_columns(answered: Any, columns: int, known: Classes) -> Classes:
    named = list(getattr(answered, "columns", ()))
    found = codes(np.array(named, dtype=object), known) if named else np.array([-1])
    if (found >= 0).all() and len(set(found)) == columns:
        return tuple(known[position] for position in found)
    if columns == len(known):
        return known
    raise ModelUnusable(
        f"the model gives {columns} columns for {len(known)} classes; give one column of labels, "
        f"or one of probabilities for each class, named after it: {', '.join(map(str, known[:10]))}"
    )


def _is_fraction(array: NDArray[Any]) -> bool:
    return bool(
        np.isfinite(array).all()
        and array.min() >= 0
        and array.max() <= 1
        and (array % 1 != 0).any()
    )
