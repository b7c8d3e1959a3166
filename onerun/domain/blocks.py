"""From the batches of any source to canonical blocks: the same rows always have the same bytes.

A block has a fixed number of rows, so that memory stays bounded. In it, text has no blanks around
it and is a sorted dictionary of the values it uses, or plain where values hardly repeat; NaN is a
missing value.
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
SAMPLED_ROWS = 4096  # of a block, which decide whether its texts repeat


class Cells(NamedTuple):
    """One column of a block.

    `array`: of a stored type, text as string or dictionary. `values`: (rows,) numbers, dates as
    integers, text as codes, plain text as lengths; for a missing value NaN, the smallest integer, 2
    (boolean), the dictionary's length, -1.
    """

    array: pa.Array
    values: npt.NDArray[Any]


def block_rows(columns: int) -> int:
    """Return rows of a block, a multiple of 8: fewer for wide tables, so that a block stays about
    32 MB.
    """
    return max(1024, min(LARGEST_BLOCK, CELLS_PER_BLOCK // max(columns, 1)) // 8 * 8)


def rebatch(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """Yield the same rows in the same order, in batches of exactly `rows` rows, the last one
    shorter.
    """
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
    if len(filled) == 1:
        return filled[0]
    return pa.concat_batches(filled)


def canonical(block: pa.RecordBatch, schema: pa.Schema) -> list[Cells]:
    """Return the block's columns as the stored types of `schema`.

    Raises:
        DataError: A value does not fit.
    """
    columns = []
    for field, column in zip(schema, block.columns, strict=True):
        try:
            columns.append(canonical_column(column, field.type))
        except pa.ArrowInvalid as error:
            raise DataError(
                f"column {field.name!r} ({column.type}) cannot be stored as {field.type}: {error}"
            ) from error
    return columns


def canonical_column(column: pa.Array, stored: pa.DataType) -> Cells:
    """Return one canonical column.

    Raises:
        ArrowInvalid: A value does not fit `stored`.
    """
    if stored == pa.string():
        return _text(column)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_duration(column.type):
        per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[column.type.unit]
        column = pc.divide(column.cast(pa.int64()).cast(pa.float64()), per_second)
    if column.type != stored:
        column = column.cast(stored)
    if pa.types.is_floating(stored):
        values = fill_missing(column, np.nan)
        if np.count_nonzero(np.isnan(values)) > column.null_count:
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, stored), column)
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
    """Return the (rows,) values of a fixed-width column, `missing` for missing ones."""
    if column.null_count:
        column = pc.fill_null(column, pa.scalar(missing, column.type))
    values: npt.NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values


def _text(column: pa.Array) -> Cells:
    if pa.types.is_dictionary(column.type):
        if column.type != TEXT:
            column = column.cast(TEXT)
        column = pa.DictionaryArray.from_arrays(
            column.indices, pc.utf8_trim_whitespace(column.dictionary)
        )
        if _hardly_repeats(column):
            return _plain(column.dictionary_decode())
    else:
        if column.type != pa.string():
            column = column.cast(pa.string())
        column = pc.utf8_trim_whitespace(column)
        if _hardly_repeats(column):
            return _plain(column)
        column = column.dictionary_encode()
    return _compact(column.indices, column.dictionary)


def _hardly_repeats(column: pa.Array) -> bool:
    """Return whether the first rows are mostly different texts: by content alone, so the same for
    any source.
    """
    first = column.slice(0, SAMPLED_ROWS)
    if pa.types.is_dictionary(first.type):
        first = first.dictionary_decode()
    return len(first) == SAMPLED_ROWS and len(first.unique()) * 2 > SAMPLED_ROWS


def _plain(column: pa.StringArray) -> Cells:
    return Cells(column, fill_missing(pc.binary_length(column), -1))


def _compact(codes: pa.Array, values: pa.StringArray) -> Cells:
    """Return a sorted dictionary of the used values.

    Args:
        codes: Positions in `values`.
        values: May repeat a value, and hold unused ones and nulls (missing values).
    """
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
    mask = None
    if codes.null_count or values.null_count:
        mask = numbers == len(distinct)
    indices = pa.array(numbers, mask=mask)
    return Cells(pa.DictionaryArray.from_arrays(indices, distinct), numbers)


def as_stored(cells: Cells, stored: pa.DataType) -> pa.Array:
    """Return the column as the type that the file's first block had: dictionary or plain text."""
    if cells.array.type == stored:
        return cells.array
    if pa.types.is_dictionary(stored):
        return cells.array.dictionary_encode()
    return cells.array.dictionary_decode()
