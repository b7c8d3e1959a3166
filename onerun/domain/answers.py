"""What a model may answer, and when its answer is of no use. A training command may bring any model."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onerun.domain.errors import ModelUnusable
from onerun.domain.outcomes import Classes, Floats, Predictions, aligned, codes, union

TOLERANCE = 1e-3  # how far the probabilities of a row may be from adding up to 1: single precision and rounding


@dataclass(frozen=True)
class Answer:
    """What came out of a model: (n,) numbers or labels; a classifier's (n, classes) probabilities and their order."""

    values: NDArray[Any]
    probabilities: Floats | None = None
    classes: Classes = ()

    def coded(self, classes: Classes) -> Predictions:
        """Returns: predictions with labels as codes into `classes`. Raises: ModelUnusable when a label is missing."""
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


def numbers(answered: Any, rows: int) -> Answer:
    """Returns: a regression's answer. Raises: ModelUnusable when it is not one finite number per row."""
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
    return Answer(values)


def labels_or_probabilities(answered: Any, rows: int, known: Classes) -> Answer:
    """A classifier's answer: labels, a table of probabilities, or, of two classes, the second one's probability.

    Args: known: the classes of the training part, sorted; columns without names of classes are in this order.
    Raises: ModelUnusable.
    """
    array = _one_per_row(np.asarray(answered), rows)
    if array.ndim == 2:
        return from_probabilities(array, _classes_of_columns(answered, array.shape[1], known))
    if len(known) == 2 and array.dtype.kind == "f" and _is_fraction(array):
        return from_probabilities(np.column_stack([1 - array, array]), known)
    return Answer(
        array, classes=union(known, np.unique(array) if array.dtype.kind in "iufb" else set(array))
    )


def from_probabilities(
    probabilities: NDArray[Any], classes: Classes, labels: NDArray[Any] | None = None
) -> Answer:
    """Returns: the answer with the likeliest labels, when none are given. Raises: ModelUnusable."""
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
    return Answer(likeliest if labels is None else labels, wide, classes)


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
