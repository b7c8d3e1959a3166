"""From whatever batches a source gives to canonical blocks: the same rows always look the same, down to the byte.

A block has a fixed number of rows, so that memory stays bounded. In it, text has no blanks around it and is a sorted
dictionary of the values it uses, or plain where values hardly repeat; NaN is a missing value.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from onerun.domain.errors import DataError

LARGEST_BLOCK = 131_072
CELLS_PER_BLOCK = 4_194_304
TEXT = pa.dictionary(pa.int32(), pa.string())
LOOKED_AT = 4096  # rows of a block that tell whether its texts repeat


class Cells(NamedTuple):
    """One column of a block.

    `array`: of a kept type, text as string or dictionary. `values`: (rows,) numbers, dates as integers, text as codes,
    plain text as lengths; for a missing value NaN, the smallest integer, 2 (boolean), the dictionary's length, -1.
    """

    array: pa.Array
    values: npt.NDArray[Any]


def block_rows(columns: int) -> int:
    """Return rows of a block, a multiple of 8: fewer for wide tables, so that a block stays about 32 MB."""
    return max(1024, min(LARGEST_BLOCK, CELLS_PER_BLOCK // max(columns, 1)) // 8 * 8)


def rebatch(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """Return the same rows in the same order, in batches of exactly `rows` rows, the last one shorter."""
    waiting: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        while count + batch.num_rows >= rows:
            head = rows - count
            yield _joined([*waiting, batch.slice(0, head)])
            batch, waiting, count = batch.slice(head), [], 0
        if batch.num_rows:
            waiting.append(batch)
            count += batch.num_rows
    if waiting:
        yield _joined(waiting)


def _joined(parts: list[pa.RecordBatch]) -> pa.RecordBatch:
    filled = [part for part in parts if part.num_rows]
    return filled[0] if len(filled) == 1 else pa.concat_batches(filled)


def canonical(block: pa.RecordBatch, schema: pa.Schema) -> list[Cells]:
    """Return the block's columns as `schema`'s kept types. Raises: DataError when a value does not fit."""
    return [_named(field.name, block.column(i), field.type) for i, field in enumerate(schema)]


def _named(name: str, column: pa.Array, kept: pa.DataType) -> Cells:
    try:
        return canonical_column(column, kept)
    except pa.ArrowInvalid as error:
        raise DataError(
            f"column {name!r} ({column.type}) cannot be kept as {kept}: {error}"
        ) from error


def canonical_column(column: pa.Array, kept: pa.DataType) -> Cells:
    """Return one canonical column. Raises: ArrowInvalid when a value does not fit `kept`."""
    if kept == pa.string():
        return _text(column)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_duration(column.type):
        per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[column.type.unit]
        column = pc.divide(column.cast(pa.int64()).cast(pa.float64()), per_second)
    if column.type != kept:
        column = column.cast(kept)
    if pa.types.is_floating(kept):
        values = fill_missing(column, np.nan)
        if np.count_nonzero(np.isnan(values)) > column.null_count:
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, kept), column)
            values = fill_missing(column, np.nan)  # one NaN of the many
        return Cells(column, values)
    return Cells(column, _integers(column))


def _integers(column: pa.Array) -> npt.NDArray[Any]:
    types = pa.types
    if types.is_boolean(column.type):
        return fill_missing(column.cast(pa.uint8()), 2)
    if types.is_date(column.type):
        column = column.view(pa.int32())
    elif types.is_timestamp(column.type):
        column = column.view(pa.int64())
    return fill_missing(column, np.iinfo(column.type.to_pandas_dtype()).min)


def fill_missing(column: pa.Array, missing: float) -> npt.NDArray[Any]:
    """Return (rows,) the values of a fixed-width column, `missing` for missing ones."""
    full = pc.fill_null(column, pa.scalar(missing, column.type)) if column.null_count else column
    values: npt.NDArray[Any] = full.to_numpy(zero_copy_only=False)
    return values


def _text(column: pa.Array) -> Cells:
    if pa.types.is_dictionary(column.type):
        column = column if column.type == TEXT else column.cast(TEXT)
        column = pa.DictionaryArray.from_arrays(
            column.indices, pc.utf8_trim_whitespace(column.dictionary)
        )
        if _hardly_repeats(column):
            return _plain(column.dictionary_decode())
    else:
        column = pc.utf8_trim_whitespace(
            column if column.type == pa.string() else column.cast(pa.string())
        )
        if _hardly_repeats(column):
            return _plain(column)
        column = column.dictionary_encode()
    return _compact(column.indices, column.dictionary)


def _hardly_repeats(column: pa.Array) -> bool:
    """Return whether the first rows are mostly different texts: told from content alone, so it is the same for any source."""
    first = column.slice(0, LOOKED_AT)
    if pa.types.is_dictionary(first.type):
        first = first.dictionary_decode()
    return len(first) == LOOKED_AT and len(first.unique()) * 2 > LOOKED_AT


def _plain(column: pa.StringArray) -> Cells:
    return Cells(column, fill_missing(pc.binary_length(column), -1))


def _compact(codes: pa.Array, values: pa.StringArray) -> Cells:
    """`codes`: positions in `values`, which may repeat a value, hold unused ones, or null ones (then missing)."""
    numbers = fill_missing(codes, len(values))
    used = np.bincount(numbers, minlength=len(values) + 1)[:-1] > 0
    distinct = values.filter(pa.array(used)).unique().drop_null()
    distinct = distinct.take(pc.sort_indices(distinct))
    if distinct.equals(values):
        return Cells(pa.DictionaryArray.from_arrays(codes, values), numbers)
    fresh = np.append(
        fill_missing(pc.index_in(values, distinct), len(distinct)), len(distinct)
    ).astype(np.int32)
    numbers = fresh.take(numbers)
    gone = numbers == len(distinct) if codes.null_count or values.null_count else None
    return Cells(pa.DictionaryArray.from_arrays(pa.array(numbers, mask=gone), distinct), numbers)


def as_stored(cells: Cells, stored: pa.DataType) -> pa.Array:
    """Return the column as the type that the file's first block had: dictionary or plain text."""
    if cells.array.type == stored:
        return cells.array
    return (
        cells.array.dictionary_encode()
        if pa.types.is_dictionary(stored)
        else cells.array.dictionary_decode()
    )
