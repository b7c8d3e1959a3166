"""What was true of the test rows, and what a model says of them. Labels are codes into one tuple of classes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]
Classes = tuple[Any, ...]


@dataclass(frozen=True)
class Truth:
    """What was true: (n,) float64 values, or, with classes, (n,) codes into them."""

    values: NDArray[Any]
    classes: Classes = ()  # empty: regression
    weights: Floats | None = None  # (n,), None: every row counts one
    groups: Integers | None = (
        None  # (n,) codes from 0 of rows that belong together, None: each stands for itself
    )

    @property
    def rows(self) -> int:
        """Returns: how many."""
        return len(self.values)

    @property
    def row_weights(self) -> Floats:
        """Returns: (n,) the weights, ones when there are none."""
        return np.ones(self.rows) if self.weights is None else self.weights

    def take(self, rows: NDArray[Any]) -> Self:
        """Returns: the truth of these rows (positions or mask)."""
        weights, groups = (
            None if given is None else given[rows] for given in (self.weights, self.groups)
        )
        return type(self)(self.values[rows], self.classes, weights, groups)


@dataclass(frozen=True)
class Predictions:
    """What a model says: (n,) float64 values, or (n,) codes into the truth's classes and (n, classes) probabilities."""

    values: NDArray[Any]
    probabilities: Floats | None = None  # None: regression, or a classifier that gives none

    def take(self, rows: NDArray[Any]) -> Self:
        """Returns: the predictions of these rows (positions or mask)."""
        probabilities = None if self.probabilities is None else self.probabilities[rows]
        return type(self)(self.values[rows], probabilities)


def union(known: Sequence[Any], *others: Iterable[Any]) -> Classes:
    """Returns: the known classes in their order, then those only others name, sorted. 1, 1.0 and True are one class."""
    seen = {_plain(label): None for label in known}
    texts = {str(label) for label in seen}
    fresh = {_plain(label) for other in others for label in other}
    unknown = [label for label in fresh if label not in seen and str(label) not in texts]
    return (*seen, *sorted(unknown, key=lambda label: (str(type(label)), label)))


def codes(labels: Any, classes: Classes) -> Integers:
    """Looks up (n,) labels, an array or a Series, by value, else by text ("1" finds 1).

    Returns: (n,) positions in `classes`, -1 where a label is missing or none of them.
    """
    import pandas as pd

    positions, distinct = pd.factorize(labels)
    by_value = {label: position for position, label in enumerate(classes)}
    by_text = {str(label): position for position, label in enumerate(classes)}
    found = [by_value.get(plain, by_text.get(str(plain), -1)) for plain in map(_plain, distinct)]
    return np.append(np.array(found, dtype=np.intp), -1)[positions]


def aligned(probabilities: NDArray[Any], own: Sequence[Any], classes: Classes) -> Floats:
    """Returns: (n, len(classes)) probabilities, columns in the order of `classes`; 0 for those the model never saw."""
    columns = codes(np.array([*map(_plain, own)], dtype=object), classes)
    if len(own) == len(classes) and (columns == np.arange(len(classes))).all():
        return np.asarray(probabilities, dtype=np.float64)
    wide = np.zeros((len(probabilities), len(classes)))
    wide[:, columns] = probabilities
    return wide


def _plain(label: Any) -> Any:
    return label.item() if isinstance(label, np.generic) else label
