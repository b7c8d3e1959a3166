"""Columns of a snapshot: which Arrow types it keeps, what kind of column each is, which of them are
features.
"""

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
    """Return what a column of this Arrow type (as in `Snapshot.columns`) means to a model."""
    name = arrow_type.partition("[")[0].partition("<")[0]
    if name.startswith(("date", "timestamp")):
        return "date"
    return KIND_BY_TYPE_NAME.get(name, "number")


def kinds(columns: Mapping[str, str]) -> dict[str, ColumnKind]:
    """Return column name -> kind, in the table's order."""
    return {name: kind(arrow_type) for name, arrow_type in columns.items()}


def stored_type(given: pa.DataType) -> pa.DataType | None:
    """Return the type as which a snapshot stores `given`; None for lists, structs and maps.

    Parquet returns every stored type as it was written. Text is `string`, decimals and durations
    (in seconds) are `double`, times of day are text, time zones are UTC, a column without any value
    is `double`.
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
    is_text = types.is_string(given) or types.is_large_string(given) or types.is_string_view(given)
    is_binary = types.is_binary(given) or types.is_large_binary(given)
    is_binary = is_binary or types.is_fixed_size_binary(given) or types.is_binary_view(given)
    if is_text or is_binary or types.is_time(given):
        return pa.string()
    return None


def common_type(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """Return the stored type that holds the values of both without loss of meaning; None: there is
    none.
    """
    if one == other:
        return one
    if _is_numeric(one) and _is_numeric(other):
        if _fits_int64(one) and _fits_int64(other):
            return pa.int64()
        return pa.float64()
    if pa.types.is_temporal(one) and pa.types.is_temporal(other):
        zones = [found.tz for found in (one, other) if pa.types.is_timestamp(found) and found.tz]
        return pa.timestamp("us", zones[0] if zones else None)
    return None


def _is_numeric(found: pa.DataType) -> bool:
    return bool(pa.types.is_integer(found) or pa.types.is_floating(found))


def _fits_int64(found: pa.DataType) -> bool:
    return bool(pa.types.is_integer(found) and found != pa.uint64())


def require(names: Iterable[str], columns: Iterable[str], key: str) -> None:
    """Raise DataError when the table lacks one of `names`, which `key` of the recipe asks for."""
    known = list(columns)
    for name in names:
        if name not in known:
            shown = ", ".join(known[:20])
            if len(known) > 20:
                shown += " ..."
            near = did_you_mean(name, known)
            raise DataError(
                f"{key}: the table has no column {name!r}{near}\n  its columns: {shown}"
            )


def require_recipe_columns(recipe: Recipe, columns: Mapping[str, str]) -> None:
    """Raise DataError when a recipe names a column that the table lacks: before training, not after
    it.
    """
    data = recipe.data
    for key in ("target", "weight", "group", "time"):
        name = getattr(data, key)
        require([] if name is None else [name], columns, f"data.{key}")
    for key in ("keep", "drop"):
        require(getattr(data, key) or (), columns, f"data.{key}")
    require(recipe.split.columns, columns, "split.columns")
    require(recipe.evaluate.slices, columns, "evaluate.slices")


def features(data: Data, columns: Mapping[str, str]) -> list[str]:
    """Return the features in the table's order: `keep`, or all but target, weight, group and time;
    never `drop`.

    Raises:
        DataError: The recipe names a column that the table lacks, or no column is left.
    """
    for key in ("keep", "drop"):
        require(getattr(data, key) or (), columns, f"data.{key}")
    roles = {name for name in (data.target, data.weight, data.group, data.time) if name is not None}
    chosen = set(columns) - roles
    if data.keep is not None:
        chosen = set(data.keep) - {data.target}
    left = [name for name in columns if name in chosen and name not in data.drop]
    if not left:
        raise DataError(
            f"no feature column is left: the table has {', '.join(columns)}; "
            "look at data.keep and data.drop"
        )
    return left
