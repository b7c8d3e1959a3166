"""Targets: the classes of a classifier, the numbers of a regressor, and the errors when they are
neither.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from onerun.config.mistakes import did_you_mean
from onerun.domain.errors import DataError

MOST_NUMBERS_AS_CLASSES = 100


def classes_of(name: str, values: pd.Series) -> list[Any]:
    """Return the classes in `values` (training rows), sorted, as plain Python values.

    Raises:
        DataError: There are fewer than two, or they are amounts rather than classes.
    """
    found = pd.Series(values.dropna().unique())
    if len(found) < 2:
        only = "no value"
        if len(found):
            only = f"only {_plain(found.iloc[0])!r}"
        raise DataError(
            f"target {name!r} holds {only} in the training part; "
            "a classifier needs two classes or more"
        )
    has_fractions = found.dtype.kind == "f" and not (found % 1 == 0).all()
    if has_fractions or _looks_continuous(found, len(values)):
        raise DataError(
            f"target {name!r} holds numbers ({len(found)} different ones), "
            "and a classifier needs classes: use a regressor, such as lightgbm.LGBMRegressor, "
            "or a target with classes"
        )
    if len(found) > len(values) / 2 and len(values) > 10:
        raise DataError(
            f"target {name!r} has {len(found)} different values in {len(values)} rows; "
            "a classifier needs classes that repeat: choose another target"
        )
    return sorted(_plain(value) for value in found)


def class_codes(values: pd.Series, classes: list[Any]) -> np.ndarray:
    """Return (rows,) int32 positions in `classes`, -1 for a value that is not among them."""
    codes, uniques = pd.factorize(values)
    positions = {value: position for position, value in enumerate(classes)}
    table = np.array([*(positions.get(_plain(unique), -1) for unique in uniques), -1], np.int32)
    return table[codes]


def class_weights(given: Mapping[Any, Any], classes: list[Any]) -> dict[int, Any]:
    """Return `class_weight` by position in `classes`, which estimators take, from the recipe's by
    class.

    Raises:
        DataError: One is not a class of the training part.
    """
    unknown = [name for name in given if name not in classes]
    if unknown:
        known = [str(name) for name in classes]
        shown = ", ".join(known[:20])
        if len(known) > 20:
            shown += " ..."
        near = did_you_mean(str(unknown[0]), known)
        raise DataError(
            f"model.params.class_weight: the target has no class {unknown[0]!r}{near}\n"
            f"  its classes: {shown}"
        )
    return {classes.index(name): weight for name, weight in given.items()}


def numeric_target(name: str, values: pd.Series) -> np.ndarray:
    """Return (rows,) float64 targets of a regressor.

    Raises:
        DataError: The target is not a number.
    """
    if values.dtype.kind not in "iufb" and not pd.api.types.is_object_dtype(values):
        example = values.dtype.name
        if values.notna().any():
            example = repr(_plain(values.dropna().iloc[0]))
        raise DataError(
            f"target {name!r} holds {example}, and a regressor needs numbers: "
            "use a classifier, such as lightgbm.LGBMClassifier, or a numeric target"
        )
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    if not np.isfinite(numbers).all():
        bad = int((~np.isfinite(numbers)).sum())
        raise DataError(
            f"target {name!r} is infinite or not a number in {bad} rows; "
            "remove them or choose another target"
        )
    return numbers


def weights_of(name: str, values: pd.Series) -> np.ndarray:
    """Return (rows,) float64 weights.

    Raises:
        DataError: One is missing or negative, or all are 0.
    """
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    bad = ~(np.isfinite(numbers) & (numbers >= 0))
    if bad.any():
        raise DataError(
            f"weight {name!r} is missing, negative or not a number in {int(bad.sum())} rows"
        )
    if not numbers.any():
        raise DataError(f"weight {name!r} is 0 in every row; nothing could be learned")
    return numbers


def _looks_continuous(found: pd.Series, rows: int) -> bool:
    return (
        found.dtype.kind in "iuf"
        and len(found) > MOST_NUMBERS_AS_CLASSES
        and len(found) > rows / 50
    )


def _plain(value: Any) -> Any:
    """Return a JSON value: 1.0 and 1 are the same class, since missing values make floats of
    integers.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
