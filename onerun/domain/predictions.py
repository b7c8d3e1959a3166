"""What was true of the test rows and what a model predicts for them. Labels are codes into one
tuple of classes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from onerun.domain.errors import ModelUnusable

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]
Classes = tuple[Any, ...]


@dataclass(frozen=True)
class TrueValues:
    """y_true: (n,) float64 values, or, with classes, (n,) codes into them."""

    values: NDArray[Any]
    classes: Classes = ()  # empty: regression
    weights: Floats | None = None  # (n,), None: every row counts one
    # (n,) codes from 0 of rows that belong together; None: every row stands alone
    groups: Integers | None = None

    @property
    def rows(self) -> int:
        """Return the number of rows."""
        return len(self.values)

    @property
    def row_weights(self) -> Floats:
        """Return (n,) the weights, ones without weights."""
        return np.ones(self.rows) if self.weights is None else self.weights

    def take(self, rows: NDArray[Any]) -> Self:
        """Return y_true of these rows (positions or mask)."""
        weights = None if self.weights is None else self.weights[rows]
        groups = None if self.groups is None else self.groups[rows]
        return type(self)(self.values[rows], self.classes, weights, groups)


@dataclass(frozen=True)
class Predictions:
    """y_pred: (n,) float64 values, or (n,) codes into the classes of y_true and (n, classes)
    probabilities.
    """

    values: NDArray[Any]
    probabilities: Floats | None = None  # None: regression, or a classifier that gives none

    def take(self, rows: NDArray[Any]) -> Self:
        """Return the predictions of these rows (positions or mask)."""
        probabilities = None if self.probabilities is None else self.probabilities[rows]
        return type(self)(self.values[rows], probabilities)


def union(known: Sequence[Any], *others: Iterable[Any]) -> Classes:
    """Return the known classes in their order, then those of `others`, sorted. 1, 1.0 and True are
    one class.
    """
    seen = {_plain(label): None for label in known}
    texts = {str(label) for label in seen}
    unknown = set()
    for label in chain.from_iterable(others):
        label = _plain(label)
        if label not in seen and str(label) not in texts:
            unknown.add(label)
    return (*seen, *sorted(unknown, key=lambda label: (str(type(label)), label)))


def codes(labels: Any, classes: Classes) -> Integers:
    """Return (n,) positions of labels in `classes`, -1 where a label is missing or not among them.

    Labels, an array or a Series, are compared by value, then by text ("1" finds 1).
    """
    import pandas as pd

    positions, distinct = pd.factorize(labels)
    by_value = {label: position for position, label in enumerate(classes)}
    by_text = {str(label): position for position, label in enumerate(classes)}
    found = [by_value.get(plain, by_text.get(str(plain), -1)) for plain in map(_plain, distinct)]
    return np.append(np.array(found, dtype=np.intp), -1)[positions]


def aligned(probabilities: NDArray[Any], own: Sequence[Any], classes: Classes) -> Floats:
    """Return (n, len(classes)) probabilities, columns in the order of `classes`; 0 for classes that
    `own` lacks.
    """
    columns = codes(np.array([*map(_plain, own)], dtype=object), classes)
    if len(own) == len(classes) and (columns == np.arange(len(classes))).all():
        return np.asarray(probabilities, dtype=np.float64)
    wide = np.zeros((len(probabilities), len(classes)))
    wide[:, columns] = probabilities
    return wide


def _plain(label: Any) -> Any:
    if isinstance(label, np.generic):
        return label.item()
    return label


# how far the probabilities of a row may be from adding up to 1: single precision and rounding
TOLERANCE = 1e-3


@dataclass(frozen=True)
class ModelOutput:
    """Raw output of a model: (n,) numbers or labels; a classifier's (n, classes) probabilities and
    their order.
    """

    values: NDArray[Any]
    probabilities: Floats | None = None
    classes: Classes = ()

    def coded(self, classes: Classes) -> Predictions:
        """Return predictions with labels as codes into `classes`.

        Raises:
            ModelUnusable: A label is missing or not among them.
        """
        if not classes:
            return Predictions(self.values)
        found = codes(self.values, classes)
        if (found < 0).any():
            raise ModelUnusable(
                f"the model gives no label in {int((found < 0).sum())} of {len(found)} rows"
            )
        if self.probabilities is None:
            return Predictions(found)
        return Predictions(found, aligned(self.probabilities, self.classes, classes))


def numeric_output(answered: Any, rows: int) -> ModelOutput:
    """Return a regression's output.

    Raises:
        ModelUnusable: It is not one finite number per row.
    """
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
    """Return a classifier's output: labels, a table of probabilities, or those of the second of two
    classes.

    Args:
        answered: What the model returned.
        rows: How many rows it was asked for.
        known: The classes of the training part, sorted; columns without class names are in this
            order.

    Raises:
        ModelUnusable: It is something else.
    """
    array = _one_per_row(np.asarray(answered), rows)
    if array.ndim == 2:
        return probability_output(array, _classes_of_columns(answered, array.shape[1], known))
    if len(known) == 2 and array.dtype.kind == "f" and _is_fraction(array):
        return probability_output(np.column_stack([1 - array, array]), known)
    found = np.unique(array) if array.dtype.kind in "iufb" else set(array)
    return ModelOutput(array, classes=union(known, found))


def probability_output(
    probabilities: NDArray[Any], classes: Classes, labels: NDArray[Any] | None = None
) -> ModelOutput:
    """Return the output; labels that are not given are the likeliest ones.

    Raises:
        ModelUnusable: The rows are not probabilities.
    """
    wide = np.asarray(probabilities, dtype=np.float64)
    sums_up = np.abs(wide.sum(axis=1) - 1).max() <= TOLERANCE
    if not (np.isfinite(wide).all() and wide.min() >= -TOLERANCE and sums_up):
        raise ModelUnusable(
            "the model gives a table that is not probabilities: "
            "every row must add up to 1, without missing values; "
            "let predict give labels, or apply softmax to its scores"
        )
    if labels is None:
        labels = np.array([*classes, None], dtype=object)[:-1][wide.argmax(axis=1)]
    return ModelOutput(labels, wide, classes)


def _one_per_row(array: NDArray[Any], rows: int) -> NDArray[Any]:
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim not in (1, 2) or len(array) != rows:
        given = f"{len(array)} rows" if array.ndim else type(array.item()).__name__
        raise ModelUnusable(
            f"the model's predict gives {given} for {rows} rows; it must give one answer per row"
        )
    return array


def _classes_of_columns(answered: Any, columns: int, known: Classes) -> Classes:
    named = list(getattr(answered, "columns", ()))
    if named:
        found = codes(np.array(named, dtype=object), known)
        if (found >= 0).all() and len(set(found)) == columns:
            return tuple(known[position] for position in found)
    if columns == len(known):
        return known
    shown = ", ".join(map(str, known[:10]))
    raise ModelUnusable(
        f"the model gives {columns} columns for {len(known)} classes; give one column of labels, "
        f"or one of probabilities for each class, named after it: {shown}"
    )


def _is_fraction(array: NDArray[Any]) -> bool:
    return bool(
        np.isfinite(array).all()
        and array.min() >= 0
        and array.max() <= 1
        and (array % 1 != 0).any()
    )
