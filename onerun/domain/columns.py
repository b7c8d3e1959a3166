"""Columns of a snapshot: which Arrow types it keeps, what kind of column each is, which of them are features."""

from collections.abc import Iterable, Mapping
from typing import Literal

import pyarrow as pa

from onerun.config.mistakes import did_you_mean
from onerun.config.recipe import Data, Recipe
from onerun.domain.errors import DataError

ColumnKind = Literal["number", "boolean", "date", "category"]
KIND_BY_TYPE_NAME: dict[str, ColumnKind] = {
    "bool": "boolean",
    "string": "category",
    "dictionary": "category",
}


def kind(arrow_type: str) -> ColumnKind:
    """Return what a column of this Arrow type (as in `Snapshot.columns`) is to a model."""
    name = arrow_type.partition("[")[0].partition("<")[0]
    if name.startswith(("date", "timestamp")):
        return "date"
    return KIND_BY_TYPE_NAME.get(name, "number")


def kinds(columns: Mapping[str, str]) -> dict[str, ColumnKind]:
    """Return column name -> kind, in the table's order."""
    return {name: kind(arrow_type) for name, arrow_type in columns.items()}


def stored_type(given: pa.DataType) -> pa.DataType | None:
    """Return the type a snapshot stores `given` as; None when it is no column of a table (lists, structs, maps).

    Parquet returns every kept type as it was written. Text is `string`, decimals and durations (in seconds) are
    `double`, times of day are text, time zones are UTC, a column without any value is `double`.
    """
    types = pa.types
    if types.is_dictionary(given):
        return stored_type(given.value_type)
    if types.is_integer(given) or types.is_boolean(given) or given in (pa.float32(), pa.float64()):
        return given
    if types.is_float16(given):
        return pa.float32()
    if types.is_decimal(given) or types.is_duration(given) or types.is_null(given):
        return pa.float64()
    if types.is_date(given):
        return pa.date32()
    if types.is_timestamp(given):
        return pa.timestamp("ms" if given.unit == "s" else given.unit, "UTC" if given.tz else None)
    textual = (types.is_string, types.is_large_string, types.is_string_view, types.is_time)
    binary = (
        types.is_binary,
        types.is_large_binary,
        types.is_fixed_size_binary,
        types.is_binary_view,
    )
    return pa.string() if any(test(given) for test in (*textual, *binary)) else None


def common_type(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """Return the kept type that holds the values of both kept types without loss of meaning; None: there is none."""
    if one == other:
        return one
    both = (one, other)
    if all(pa.types.is_integer(t) or pa.types.is_floating(t) for t in both):
        return (
            pa.int64()
            if all(pa.types.is_integer(t) and t != pa.uint64() for t in both)
            else pa.float64()
        )
    if all(pa.types.is_temporal(t) for t in both):
        return pa.timestamp(
            "us", next((t.tz for t in both if pa.types.is_timestamp(t) and t.tz), None)
        )
    return None


def require(names: Iterable[str], columns: Iterable[str], asked_by: str) -> None:
    """Raise DataError when the table lacks one of `names`, with the near miss."""
    known = list(columns)
    for name in names:
        if name not in known:
            shown = ", ".join(known[:20]) + (" ..." if len(known) > 20 else "")
            raise DataError(
                f"{asked_by}: the table has no column {name!r}{did_you_mean(name, known)}\n  its columns: {shown}"
            )


def require_recipe_columns(recipe: Recipe, columns: Mapping[str, str]) -> None:
    """Raise DataError when a recipe names a column that the table lacks: told before training, not after it."""
    data = recipe.data
    for key in ("target", "weight", "group", "time"):
        require([name for name in [getattr(data, key)] if name is not None], columns, f"data.{key}")
    for key in ("keep", "drop"):
        require(getattr(data, key) or (), columns, f"data.{key}")
    require(recipe.split.columns, columns, "split.columns")
    require(recipe.evaluate.slices, columns, "evaluate.slices")


def features(data: Data, columns: Mapping[str, str]) -> list[str]:
    """Return the feature columns in the table's order: `keep`, or all but target, weight, group, time; never `drop`.

    Raises: DataError when the recipe names a column that the table lacks, or none is left.
    """
    for key in ("keep", "drop"):
        require(getattr(data, key) or (), columns, f"data.{key}")
    roles = {name for name in (data.target, data.weight, data.group, data.time) if name is not None}
    wanted = set(data.keep) - {data.target} if data.keep is not None else set(columns) - roles
    left = [name for name in columns if name in wanted and name not in data.drop]
    if not left:
        raise DataError(
            f"no feature column is left: the table has {', '.join(columns)}; look at data.keep and data.drop"
        )
    return left
