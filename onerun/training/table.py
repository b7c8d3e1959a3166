"""From the snapshot to what an estimator learns from: targets, weights, levels and the matrix, in bounded memory.

Two passes over the columns: the first sees target, weight and categories of the training part, for what must be known
before anything can be encoded; the second fills the preallocated matrix batch by batch.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from onerun import progress
from onerun.config.recipe import Categorical, Recipe
from onerun.data import snapshots
from onerun.domain import columns, labels
from onerun.domain.errors import DataError
from onerun.domain.estimators import Task
from onerun.domain.predictor import Encoder, as_text
from onerun.domain.references import Snapshot
from onerun.domain.splits import TRAINING, VALIDATION

EXAMPLE_ROWS = 5


@dataclass
class EncodedPart:
    """One part of the table, encoded."""

    matrix: np.ndarray  # (rows, columns)
    target: np.ndarray  # (rows,) amounts, or codes of the classes
    weight: np.ndarray | None  # (rows,)


@dataclass
class EncodedTable:
    """What an estimator learns from, and what must be known to encode a raw row the same way."""

    spec: dict[str, Any]  # of onerun.domain.predictor.Encoder
    training: EncodedPart
    validation: EncodedPart | None
    rows: dict[str, int]  # part -> number of rows
    example: pd.DataFrame  # the first raw rows of the training part
    levels: list[int | None] = field(
        default_factory=list
    )  # per column: number of levels, None for a number


def read(recipe: Recipe, snapshot: Snapshot, task: Task, dtype: str) -> EncodedTable:
    """Read training and validation part. Raises: DataError when the table cannot be learned from."""
    parts = snapshots.parts(snapshot, recipe.data, recipe.split)
    names = columns.features(recipe.data, snapshot.columns)
    kinds = {name: columns.kind(snapshot.columns[name]) for name in names}
    target, weight = _target_and_weight(recipe, snapshot, parts)
    levels = _levels(
        snapshot, [name for name in names if kinds[name] == "category"], parts, _most_levels(recipe)
    )
    in_training = parts[parts <= VALIDATION] == TRAINING
    classes = (
        labels.classes_of(recipe.data.target, target[in_training])
        if task == "classification"
        else None
    )
    spec = {
        "task": task, "classes": classes, "booster": False, "dtype": dtype, "missing": list(recipe.data.missing),
        "columns": [{"name": n, "kind": kinds[n]} | ({"levels": levels[n]} if n in levels else {}) for n in names],
    }  # fmt: skip
    amounts = (
        labels.numeric_target(recipe.data.target, target)
        if classes is None
        else labels.class_codes(target, classes)
    )
    training, validation = _matrices(snapshot, parts, Encoder(spec))
    return EncodedTable(
        spec,
        EncodedPart(
            training, amounts[in_training], None if weight is None else weight[in_training]
        ),
        _validation(validation, amounts, weight, ~in_training, classes is not None),
        {
            "training": len(training),
            "validation": len(validation),
            "test": int((parts > VALIDATION).sum()),
        },
        _example(snapshot, names, parts),
        [len(levels[name]) if name in levels else None for name in names],
    )


def _validation(
    matrix: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None,
    mask: np.ndarray,
    classes: bool,
) -> EncodedPart | None:
    """A class that training never saw cannot be scored while learning: such rows are left out."""
    part_target, part_weight = target[mask], None if weight is None else weight[mask]
    if classes and (part_target < 0).any():
        known = part_target >= 0
        matrix, part_target = matrix[known], part_target[known]
        part_weight = None if part_weight is None else part_weight[known]
    return EncodedPart(matrix, part_target, part_weight) if len(matrix) else None


def _target_and_weight(
    recipe: Recipe, snapshot: Snapshot, parts: np.ndarray
) -> tuple[pd.Series, np.ndarray | None]:
    """Return target and weight of the training and validation rows, in table order."""
    data = recipe.data
    mask = parts <= VALIDATION
    table = snapshots.rows(snapshot, [data.target, *([data.weight] if data.weight else [])], mask)
    weight = (
        labels.weights_of(data.weight, table.column(data.weight).to_pandas())
        if data.weight
        else None
    )
    if (parts == TRAINING).sum() < 2:
        raise DataError(
            f"the training part has {(parts == TRAINING).sum()} rows; learning needs at least two"
        )
    return table.column(data.target).to_pandas(), weight


def _most_levels(recipe: Recipe) -> int:
    return (recipe.preprocess.categorical if recipe.preprocess else Categorical()).max_levels


def _levels(
    snapshot: Snapshot, names: list[str], parts: np.ndarray, most: int
) -> dict[str, list[str]]:
    """Return per category column the levels of its training rows, sorted; only the `most` frequent ones."""
    counts: dict[str, dict[str, int]] = {name: {} for name in names}
    for batch, part in _batches(snapshot, names, parts):
        for name in names:
            _count(counts[name], batch.column(name), part == TRAINING)
    frequent = {
        name: sorted(found, key=lambda level: (-found[level], level))[:most]
        for name, found in counts.items()
    }
    return {name: sorted(levels) for name, levels in frequent.items()}


def _count(counts: dict[str, int], column: pa.Array, mask: np.ndarray) -> None:
    encoded = column if isinstance(column, pa.DictionaryArray) else column.dictionary_encode()
    indices = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)[mask]
    found = np.bincount(indices[indices >= 0], minlength=len(encoded.dictionary))
    for level, count in zip(encoded.dictionary.to_pylist(), found.tolist(), strict=True):
        if count and level is not None:
            counts[as_text(level)] = counts.get(as_text(level), 0) + count


def _matrices(
    snapshot: Snapshot, parts: np.ndarray, encoder: Encoder
) -> tuple[np.ndarray, np.ndarray]:
    """Return training and validation matrix, in column order of memory: LightGBM takes them without a copy."""
    names = [column["name"] for column in encoder.columns]
    categories = [column["name"] for column in encoder.columns if column["kind"] == "category"]
    matrices = [
        np.empty(((parts == part).sum(), len(names)), encoder.dtype, order="F")
        for part in (TRAINING, VALIDATION)
    ]
    filled = [0, 0]
    for batch, part in _batches(snapshot, names, parts, categories):
        masks = [part == TRAINING, part == VALIDATION]
        for position, name in enumerate(names):
            encoded = encoder.encode_column(
                position, batch.column(name).to_pandas(date_as_object=False)
            )
            for matrix, start, mask in zip(matrices, filled, masks, strict=True):
                chosen = encoded[mask]
                matrix[start : start + len(chosen), position] = chosen
        filled = [start + int(mask.sum()) for start, mask in zip(filled, masks, strict=True)]
        progress.report("read", sum(filled), sum(map(len, matrices)))
    return matrices[0], matrices[1]


def _batches(
    snapshot: Snapshot, names: list[str], parts: np.ndarray, categories: list[str] | None = None
) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
    """Yield each batch with the part that each of its rows belongs to."""
    start = 0
    if not names:
        return
    for batch in snapshots.batches(
        snapshot, names, dictionary=names if categories is None else categories
    ):
        yield batch, parts[start : start + len(batch)]
        start += len(batch)


def _example(snapshot: Snapshot, names: list[str], parts: np.ndarray) -> pd.DataFrame:
    """Return the first raw training rows, as `pandas` would read them."""
    first = np.zeros(len(parts), bool)
    first[np.flatnonzero(parts == TRAINING)[:EXAMPLE_ROWS]] = True
    frame: pd.DataFrame = snapshots.rows(snapshot, names, first).to_pandas()
    return frame
