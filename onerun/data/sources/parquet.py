"""Parquet: one file or parts whose columns may differ in order and in the width of their numbers."""

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
    """Returns: the rows of all files, in order. Raises: DataError when they do not fit together."""
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
    """Returns: the schema that holds both, in the order of `one`. Raises: DataError when columns or kinds differ."""
    lacking = [*(set(one.names) - set(other.names)), *(set(other.names) - set(one.names))]
    if lacking or len(one.names) != len(other.names):
        raise DataError(
            f"{other_name} and {one_name} have different columns: only one of them has {sorted(lacking)}"
        )
    return pa.schema(
        [
            (field.name, _united(field, other.field(field.name), one_name, other_name))
            for field in one
        ]
    )


def _united(one: pa.Field, other: pa.Field, one_name: str, other_name: str) -> pa.DataType:
    if one.type == other.type or pa.types.is_null(other.type):
        return one.type
    if pa.types.is_null(one.type):
        return other.type
    kept, kept_other = stored_type(one.type), stored_type(other.type)
    both = common_type(kept, kept_other) if kept is not None and kept_other is not None else None
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
    except (pa.ArrowInvalid, OSError) as error:  # Arrow says OSError for damaged pages
        if storage.is_s3(name) and not isinstance(error, pa.ArrowInvalid):
            raise
        raise DataError(f"{name}: damaged Parquet file: {error}") from error


def _aligned(batch: pa.RecordBatch, schema: pa.Schema, texts: list[str]) -> pa.RecordBatch:
    columns = [
        column if field.name in texts or column.type == field.type else column.cast(field.type)
        for field, column in ((field, batch.column(field.name)) for field in schema)
    ]
    return pa.RecordBatch.from_arrays(columns, names=schema.names)
