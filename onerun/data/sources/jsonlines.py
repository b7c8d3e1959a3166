"""JSON lines: one object per line. Fields may be missing or come late; a type is right for all values."""

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
    """Returns: the objects of all files, in order. `careful`: look at every line before deciding on fields and types.

    Raises: DataError when a file is empty, a line is no object or a field has values of different kinds.
    """
    schema: pa.Schema | None = None
    for batch in _blocks(files):
        schema = batch.schema if schema is None else _united(schema, batch.schema)
        if not careful:
            break
    if schema is None:
        raise DataError(f"{files[0]}: the file is empty")
    return SourceTable(schema, _fitted(files, schema))


def _fitted(files: list[str], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Raises: TypesChanged when a block has other fields or types than the first ones."""
    for batch in _blocks(files):
        if _united(schema, batch.schema) != schema:
            raise TypesChanged(str(batch.schema))
        columns = [
            batch.column(field.name).cast(field.type)
            if field.name in batch.schema.names
            else pa.nulls(batch.num_rows, field.type)
            for field in schema
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _blocks(files: list[str]) -> Iterator[pa.RecordBatch]:
    """Yields: whole lines as batches, each with the types of its own values."""
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


def _united(one: pa.Schema, other: pa.Schema) -> pa.Schema:
    names = [*one.names, *(name for name in other.names if name not in one.names)]
    return pa.schema([(name, _wider(name, one, other)) for name in names])


def _wider(name: str, one: pa.Schema, other: pa.Schema) -> pa.DataType:
    types = [schema.field(name).type for schema in (one, other) if name in schema.names]
    known = [found for found in types if not pa.types.is_null(found)]
    if not known or known[0] == known[-1]:
        return (known or types)[0]
    kept = [stored_type(found) for found in known]
    if kept[0] is None or kept[1] is None:
        raise DataError(f"field {name!r} is {known[0]} in some lines and {known[1]} in others")
    both = common_type(kept[0], kept[1])
    if both is None and all(found == pa.string() or pa.types.is_temporal(found) for found in kept):
        return pa.string()  # texts of which some look like dates
    if both is None:
        raise DataError(f"field {name!r} is {known[0]} in some lines and {known[1]} in others")
    return both
