"""From whatever batches a source gives to canonical blocks of a fixed number of rows."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from domain.digest import raw_values, valid

TEXT = pa.dictionary(pa.int32(), pa.string())


def refilled(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """Returns: the same rows in the same order, in batches of exactly `rows` rows, the last one shorter."""
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
    return parts[0] if len(parts) == 1 else pa.concat_batches([part for part in parts if part.num_rows] or parts[:1])


def canonical(block: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Returns: the block with `schema`'s kept types, text as sorted dictionaries without blanks around, NaN as null."""
    columns = [canonical_column(block.column(i), field.type) for i, field in enumerate(schema)]
    return pa.RecordBatch.from_arrays(columns, names=schema.names)


def canonical_column(column: pa.Array, kept: pa.DataType) -> pa.Array:
    """Returns: one canonical column; see `canonical`. Raises: ArrowInvalid when a value does not fit `kept`."""
    if kept == pa.string():
        return _text(column)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_duration(column.type):
        per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[column.type.unit]
        column = pc.divide(column.cast(pa.int64()).cast(pa.float64()), per_second)
    if column.type != kept:
        column = column.cast(kept)
    if pa.types.is_floating(kept) and np.isnan(raw_values(column)).any():
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, kept), column)
    return column


def _text(column: pa.Array) -> pa.DictionaryArray:
    if not pa.types.is_dictionary(column.type):
        column = (column if column.type == pa.string() else column.cast(pa.string())).dictionary_encode()
    elif column.type != TEXT:
        column = column.cast(TEXT)
    return compact(column.indices, stripped(column.dictionary))


def stripped(values: pa.StringArray) -> pa.StringArray:
    """Returns: the values without blanks around them."""
    return pc.utf8_trim_whitespace(values)


def compact(codes: pa.Array, values: pa.StringArray) -> pa.DictionaryArray:
    """Returns: the column with only the values it uses, each once, sorted: the same for the same text however it came.

    `codes`: positions in `values`, which may repeat a value, hold unused ones, or null ones (then missing).
    """
    numbers = raw_values(codes)
    used = np.zeros(len(values), np.bool_)
    used[numbers[valid(codes)] if codes.null_count else numbers] = True
    distinct = pc.unique(values.filter(pa.array(used))).drop_null()
    distinct = distinct.take(pc.sort_indices(distinct))
    if codes.type == pa.int32() and distinct.equals(values):
        return pa.DictionaryArray.from_arrays(codes, values)
    position = pc.index_in(values, distinct)
    return pa.DictionaryArray.from_arrays(position.take(codes), distinct)


def stored(schema: pa.Schema) -> pa.Schema:
    """Returns: the schema of canonical blocks for a schema of kept types: text as dictionaries."""
    return pa.schema([(field.name, TEXT if field.type == pa.string() else field.type) for field in schema])
