"""JSON lines: one object per line. Fields may be missing or come late; a type is right for all
values.
"""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.json as pj

from onerun.data.source_table import SourceTable, TypesChanged
from onerun.data.sources.files import open_stream
from onerun.domain.columns import common_type, stored_type
from onerun.domain.errors import DataError

BLOCK_BYTES = 4 * 2**20
LONGEST_LINE = 2**26


def open_json_lines(files: list[str], careful: bool) -> SourceTable:
    """Return the objects of all files, in order; `careful` reads every line before deciding on
    fields and types.

    Raises:
        DataError: A file is empty, a line is not an object, or a field has values of different
            kinds.
    """
    schema: pa.Schema | None = None
    for batch in _blocks(files):
        schema = batch.schema if schema is None else _common_schema(schema, batch.schema)
        if not careful:
            break
    if schema is None:
        raise DataError(f"{files[0]}: the file is empty")
    return SourceTable(schema, _fitted(files, schema))


def _fitted(files: list[str], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the rows with the fields of `schema`.

    Raises:
        TypesChanged: A block has other fields or types.
    """
    for batch in _blocks(files):
        if _common_schema(schema, batch.schema) != schema:
            raise TypesChanged(str(batch.schema))
        columns = []
        for field in schema:
            if field.name in batch.schema.names:
                columns.append(batch.column(field.name).cast(field.type))
            else:
                columns.append(pa.nulls(batch.num_rows, field.type))
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _blocks(files: list[str]) -> Iterator[pa.RecordBatch]:
    """Yield whole lines as batches, each with the types of its own values."""
    for file in files:
        first_line = 1
        for text in _whole_lines(file):
            lines = text.count(b"\n")
            if text.strip():
                yield from _parsed(file, text, first_line)
            first_line += lines


def _whole_lines(file: str) -> Iterator[bytes]:
    rest = b""
    with open_stream(file) as stream:
        while chunk := stream.read(BLOCK_BYTES):
            lines, newline, tail = (rest + chunk).rpartition(b"\n")
            rest = tail
            if newline:
                yield lines + newline
            if len(rest) > LONGEST_LINE:
                raise DataError(
                    f"{file}: a line of more than {LONGEST_LINE:,} bytes; write one object per line"
                )
    if rest:
        yield rest


def _parsed(file: str, text: bytes, first_line: int) -> list[pa.RecordBatch]:
    if text.lstrip()[:1] == b"[":
        raise DataError(
            f"{file}: a JSON array, not JSON lines; write one object per line (jq -c '.[]')"
        )
    try:
        table = pj.read_json(
            pa.BufferReader(text), read_options=pj.ReadOptions(block_size=len(text) + 1)
        )
    except pa.ArrowInvalid as error:
        raise DataError(f"{file}: from line {first_line:,} on: {error}") from error
    batches: list[pa.RecordBatch] = table.combine_chunks().to_batches()
    return batches


def _common_schema(one: pa.Schema, other: pa.Schema) -> pa.Schema:
    names = [*one.names, *(name for name in other.names if name not in one.names)]
    return pa.schema([(name, _common_type(name, one, other)) for name in names])


def _common_type(name: str, one: pa.Schema, other: pa.Schema) -> pa.DataType:
    types = [schema.field(name).type for schema in (one, other) if name in schema.names]
    known = [found for found in types if not pa.types.is_null(found)]
    if not known:
        return types[0]
    if known[0] == known[-1]:
        return known[0]
    stored = [stored_type(found) for found in known]
    both = None
    if stored[0] is not None and stored[1] is not None:
        both = common_type(stored[0], stored[1])
        if both is None and all(map(_is_text_or_time, stored)):
            return pa.string()  # texts of which some look like dates
    if both is None:
        raise DataError(f"field {name!r} is {known[0]} in some lines and {known[1]} in others")
    return both


def _is_text_or_time(found: pa.DataType) -> bool:
    return bool(found == pa.string() or pa.types.is_temporal(found))
