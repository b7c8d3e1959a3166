"""Parquet: one file or parts whose columns may differ in order and in the width of their
numbers.
"""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from onerun import storage
from onerun.data.source_table import SourceTable
from onerun.domain.blocks import block_rows
from onerun.domain.columns import common_type, stored_type
from onerun.domain.errors import DataError

BUFFER_BYTES = 2**20  # with pre_buffer, which is on by default, all row groups would stay in memory


def open_parquet(files: list[str]) -> SourceTable:
    """Return the rows of all files, in order.

    Raises:
        DataError: They do not fit together.
    """
    footers = [(name, *_footer(name)) for name in files]
    first_name, first, _ = footers[0]
    schema = first
    for name, other, _ in footers[1:]:
        schema = common_schema(schema, other, first_name, name)
    return SourceTable(schema, _batches(files, schema), sum(rows for _, _, rows in footers))


def _footer(name: str) -> tuple[pa.Schema, int]:
    with storage.open_input(name) as file:
        try:
            footer = pq.ParquetFile(file)
        except pa.ArrowInvalid as error:
            raise DataError(
                f"{name}: not a Parquet file ({str(error).partition('. ')[0]})"
            ) from error
        return footer.schema_arrow.remove_metadata(), footer.metadata.num_rows


def common_schema(one: pa.Schema, other: pa.Schema, one_name: str, other_name: str) -> pa.Schema:
    """Return the schema that holds both, in the order of `one`.

    Raises:
        DataError: Columns or kinds differ.
    """
    lacking = sorted(set(one.names) ^ set(other.names))
    if lacking or len(one.names) != len(other.names):
        raise DataError(
            f"{other_name} and {one_name} have different columns: only one of them has {lacking}"
        )
    fields = []
    for field in one:
        both = _common_type(field, other.field(field.name), one_name, other_name)
        fields.append((field.name, both))
    return pa.schema(fields)


def _common_type(one: pa.Field, other: pa.Field, one_name: str, other_name: str) -> pa.DataType:
    if one.type == other.type or pa.types.is_null(other.type):
        return one.type
    if pa.types.is_null(one.type):
        return other.type
    stored, stored_other = stored_type(one.type), stored_type(other.type)
    both = None
    if stored is not None and stored_other is not None:
        both = common_type(stored, stored_other)
    if both is None:
        raise DataError(
            f"column {one.name!r} is {one.type} in {one_name} but {other.type} in {other_name}"
        )
    return both


def _batches(files: list[str], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    texts = [field.name for field in schema if stored_type(field.type) == pa.string()]
    for name in files:
        with storage.open_input(name, cache="none") as raw:
            source = raw if storage.is_s3(name) else name
            with pq.ParquetFile(
                source, read_dictionary=texts, buffer_size=BUFFER_BYTES, pre_buffer=False
            ) as file:
                for batch in _decoded(name, file, schema):
                    yield _aligned(batch, schema, texts)


def _decoded(name: str, file: pq.ParquetFile, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    try:
        yield from file.iter_batches(block_rows(len(schema)), columns=schema.names)
    except (pa.ArrowInvalid, OSError) as error:  # Arrow raises OSError for damaged pages
        if storage.is_s3(name) and not isinstance(error, pa.ArrowInvalid):
            raise
        raise DataError(f"{name}: damaged Parquet file: {error}") from error


def _aligned(batch: pa.RecordBatch, schema: pa.Schema, texts: list[str]) -> pa.RecordBatch:
    columns = []
    for field in schema:
        column = batch.column(field.name)
        if field.name not in texts and column.type != field.type:
            column = column.cast(field.type)
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=schema.names)
