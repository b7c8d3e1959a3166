"""Databases: an SQLAlchemy URL and a query, streamed by a server-side cursor."""

import decimal
import json
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from onerun.config.addresses import with_driver
from onerun.config.mistakes import Mistake, Mistakes
from onerun.config.recipe import Data
from onerun.data.source_table import SourceTable, TypesChanged
from onerun.data.sources.addresses import fill_variables
from onerun.data.sources.files import source_mistake
from onerun.domain.columns import common_type, stored_type
from onerun.domain.errors import DataError

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine

ROWS = 20_000
CONNECT_SECONDS = 10


def open_query(data: Data, careful: bool) -> SourceTable:
    """Return the query's rows; `careful` runs the query once to see the types of all values, then
    again.

    Raises:
        Mistakes: The URL, query or password is wrong.
        DataError: A column holds values of different kinds.
    """
    if data.query is None:
        raise Mistakes(
            [Mistake("data.query", "a database needs a query, such as SELECT * FROM houses")]
        )
    engine = _engine(fill_variables(data.source))
    schema: pa.Schema | None = None
    for batch in _batches(engine, data.query):
        schema = batch.schema if schema is None else common_schema(schema, batch.schema)
        if not careful:
            break
    if schema is None:
        raise DataError("the query returns no rows")
    return SourceTable(schema, _fitted(engine, data.query, schema))


def _engine(source: str) -> "Engine":
    from sqlalchemy import create_engine, make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError
    from sqlalchemy.pool import NullPool

    try:
        url = make_url(with_driver(source))
        _check_file(url)
        return create_engine(url, poolclass=NullPool)
    except (ArgumentError, NoSuchModuleError) as error:
        raise source_mistake(
            f"not an SQLAlchemy URL ({error}); "
            "expected postgresql+psycopg://user:password@host/name"
        ) from error
    except ModuleNotFoundError as error:
        raise source_mistake(
            f"the driver {error.name!r} for this database is not installed; "
            f"pip install {error.name}"
        ) from error


def _check_file(url: "URL") -> None:
    """Raise Mistakes for a missing SQLite file: SQLite would make an empty database."""
    name = str(url.database or ":memory:")
    of_a_file = url.get_backend_name() == "sqlite" and not name.startswith((":memory:", "file:"))
    if of_a_file and not Path(name).exists():
        raise source_mistake(f"{name}: no such database file")


def _batches(engine: "Engine", query: str) -> Iterator[pa.RecordBatch]:
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError, OperationalError

    try:
        with engine.connect() as connection:
            try:
                result = connection.execution_options(
                    stream_results=True, max_row_buffer=ROWS
                ).execute(text(query))
            except DBAPIError as error:
                raise Mistakes([Mistake("data.query", _message(error))]) from None
            names = list(result.keys())
            while rows := result.fetchmany(ROWS):
                yield _batch(names, rows)
    except OperationalError as error:
        raise source_mistake(f"{engine.url.render_as_string()}: {_message(error)}") from None


def _message(error: Any) -> str:
    """Return the database's own message, without the parameters and addresses that SQLAlchemy
    adds.
    """
    return " ".join(str(error.orig).split())


def _batch(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> pa.RecordBatch:
    pairs = zip(names, zip(*rows, strict=True), strict=True)
    columns = [_column(name, values) for name, values in pairs]
    return pa.RecordBatch.from_arrays(columns, names=list(names))


def _column(name: str, values: tuple[Any, ...]) -> pa.Array:
    kinds = {type(value) for value in values} - {type(None)}
    if decimal.Decimal in kinds:
        values = tuple(None if value is None else float(value) for value in values)
    elif kinds & {uuid.UUID, dict, list}:
        values = tuple(None if value is None else _as_text(value) for value in values)
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        found = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise DataError(
            f"column {name!r} holds values of different kinds ({found}); cast it in the query"
        ) from error


def _as_text(value: Any) -> str:
    if isinstance(value, uuid.UUID):
        return str(value)
    return json.dumps(value, default=str)


def common_schema(one: pa.Schema, other: pa.Schema) -> pa.Schema:
    """Return the schema that holds both.

    Raises:
        DataError: A column changes its kind.
    """
    fields = []
    for field in one:
        both = _common_type(field.type, other.field(field.name).type)
        if both is None:
            found = f"{field.type} and {other.field(field.name).type}"
            raise DataError(f"column {field.name!r} holds {found}; cast it in the query")
        fields.append((field.name, both))
    return pa.schema(fields)


def _common_type(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    stored, stored_other = stored_type(one), stored_type(other)
    if stored is None or stored_other is None:
        return None
    return common_type(stored, stored_other)


def _fitted(engine: "Engine", query: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for batch in _batches(engine, query):
        if common_schema(schema, batch.schema) != schema:
            raise TypesChanged(str(batch.schema))
        pairs = zip(batch.columns, schema, strict=True)
        columns = [column.cast(field.type) for column, field in pairs]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)
