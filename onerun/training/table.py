"""From the snapshot to what an estimator learns from: targets, weights, levels and the matrix, in
bounded memory.

Two passes over the columns: the first sees target, weight and categories of the training part, for
what must be known before anything can be encoded; the second fills the preallocated matrix batch by
batch.
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
    """The training or validation part of the table, encoded."""

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
    # per column: number of levels, None for a number
    levels: list[int | None] = field(default_factory=list)


def read(recipe: Recipe, snapshot: Snapshot, task: Task, dtype: str) -> EncodedTable:
    """Read and encode the training and validation part.

    Raises:
        DataError: The table cannot be learned from.
    """
    parts = snapshots.parts(snapshot, recipe.data, recipe.split)
    names = columns.features(recipe.data, snapshot.columns)
    kinds = {name: columns.kind(snapshot.columns[name]) for name in names}
    target, weight = _target_and_weight(recipe, snapshot, parts)
    in_training = parts[parts <= VALIDATION] == TRAINING
    categories = [name for name in names if kinds[name] == "category"]
    levels = _levels(snapshot, categories, parts, _most_levels(recipe))
    classes = None
    if task == "classification":
        classes = labels.classes_of(recipe.data.target, target[in_training])
        encoded_target = labels.class_codes(target, classes)
    else:
        encoded_target = labels.numeric_target(recipe.data.target, target)
    specs: list[dict[str, Any]] = []
    for name in names:
        specs.append({"name": name, "kind": kinds[name]})
        if name in levels:
            specs[-1]["levels"] = levels[name]
    spec = {
        "task": task,
        "classes": classes,
        "booster": False,
        "dtype": dtype,
        "missing": list(recipe.data.missing),
        "columns": specs,
    }
    training, validation = _matrices(snapshot, parts, Encoder(spec))
    return EncodedTable(
        spec=spec,
        training=_part(training, encoded_target, weight, in_training),
        validation=_scorable(_part(validation, encoded_target, weight, ~in_training), task),
        rows={
            "training": len(training),
            "validation": len(validation),
            "test": int((parts > VALIDATION).sum()),
        },
        example=_example(snapshot, names, parts),
        levels=[len(levels[name]) if name in levels else None for name in names],
    )


def _part(
    matrix: np.ndarray, target: np.ndarray, weight: np.ndarray | None, mask: np.ndarray
) -> EncodedPart:
    return EncodedPart(matrix, target[mask], None if weight is None else weight[mask])


def _scorable(part: EncodedPart, task: Task) -> EncodedPart | None:
    """Return the rows whose class training has seen: others cannot be scored. None when no row is
    left.
    """
    if task == "classification" and (part.target < 0).any():
        part = _part(part.matrix[part.target >= 0], part.target, part.weight, part.target >= 0)
    return part if len(part.matrix) else None


def _target_and_weight(
    recipe: Recipe, snapshot: Snapshot, parts: np.ndarray
) -> tuple[pd.Series, np.ndarray | None]:
    """Return target and weight of the training and validation rows, in table order."""
    data, weight = recipe.data, None
    names = [data.target, data.weight] if data.weight else [data.target]
    table = snapshots.rows(snapshot, names, parts <= VALIDATION)
    if data.weight:
        weight = labels.weights_of(data.weight, table.column(data.weight).to_pandas())
    rows = (parts == TRAINING).sum()
    if rows < 2:
        raise DataError(f"the training part has {rows} rows; learning needs at least two")
    return table.column(data.target).to_pandas(), weight


def _most_levels(recipe: Recipe) -> int:
    if recipe.preprocess is None:
        return Categorical().max_levels
    return recipe.preprocess.categorical.max_levels


def _levels(
    snapshot: Snapshot, names: list[str], parts: np.ndarray, most: int
) -> dict[str, list[str]]:
    """Return per category column the levels of its training rows, sorted; only the `most` frequent
    ones.
    """
    counts: dict[str, dict[str, int]] = {name: {} for name in names}
    for batch, part in _batches(snapshot, names, parts):
        for name in names:
            _count(counts[name], batch.column(name), part == TRAINING)
    levels = {}
    for name, found in counts.items():
        frequent = sorted(found.items(), key=lambda item: (-item[1], item[0]))[:most]
        levels[name] = sorted(level for level, _ in frequent)
    return levels


def _count(counts: dict[str, int], column: pa.Array, mask: np.ndarray) -> None:
    if not isinstance(column, pa.DictionaryArray):
        column = column.dictionary_encode()
    indices = column.indices.fill_null(-1).to_numpy(zero_copy_only=False)[mask]
    found = np.bincount(indices[indices >= 0], minlength=len(column.dictionary))
    for level, count in zip(column.dictionary.to_pylist(), found.tolist(), strict=True):
        if count and level is not None:
            counts[as_text(level)] = counts.get(as_text(level), 0) + count


def _matrices(
    snapshot: Snapshot, parts: np.ndarray, encoder: Encoder
) -> tuple[np.ndarray, np.ndarray]:
    """Return training and validation matrix, in Fortran order, which LightGBM takes without a
    copy.
    """
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
            values = batch.column(name).to_pandas(date_as_object=False)
            encoded = encoder.encode_column(position, values)
            for matrix, start, mask in zip(matrices, filled, masks, strict=True):
                chosen = encoded[mask]
                matrix[start : start + len(chosen), position] = chosen
        filled = [start + int(mask.sum()) for start, mask in zip(filled, masks, strict=True)]
        progress.report("read", sum(filled), sum(map(len, matrices)))
    return matrices[0], matrices[1]


def _batches(
    snapshot: Snapshot, names: list[str], parts: np.ndarray, categories: list[str] | None = None
) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
    """Yield each batch with the parts of its rows; `categories` (default: all) are read as
    dictionaries.
    """
    start = 0
    if not names:
        return
    if categories is None:
        categories = names
    for batch in snapshots.batches(snapshot, names, dictionary=categories):
        yield batch, parts[start : start + len(batch)]
        start += len(batch)


def _example(snapshot: Snapshot, names: list[str], parts: np.ndarray) -> pd.DataFrame:
    """Return the first raw training rows, as `pandas` would read them."""
    first = np.zeros(len(parts), bool)
    first[np.flatnonzero(parts == TRAINING)[:EXAMPLE_ROWS]] = True
    frame: pd.DataFrame = snapshots.rows(snapshot, names, first).to_pandas()
    return frame
