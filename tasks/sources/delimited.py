"""CSV and TSV: types that are right for the whole file, at the speed of one read.

The first megabytes are read as text, and every column's type is seen from them. Then all is read straight into those
types. When a later value does not fit (`TypesChanged`), all of the file is surveyed as text before it is read again.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.csv as csv

from domain.conversions import listed
from domain.errors import DataError
from domain.texts import FALSE, TRUE, TextColumn, cleaned
from settings.recipe import Data
from tasks.sources.files import opened_stream
from tasks.sources.malformed import explained
from tasks.sources.opened import Opened, TypesChanged

SAMPLE_BYTES = 4 * 2**20
BLOCK_BYTES = 2**20
DIRECT = (pa.int64(), pa.float64(), pa.bool_(), pa.date32())


def opened(files: list[str], data: Data, delimiter: str, careful: bool) -> Opened:
    """Returns: the rows of all files, in order. `careful`: look at every value before deciding on types.

    Raises: DataError when a file is empty or malformed or the files do not fit together.
    """
    names = _names(files, delimiter)
    survey = _Survey(names, data)
    whole = survey.look_at(files, delimiter, None if careful else SAMPLE_BYTES)
    types = survey.types()
    if careful or whole:
        survey.check()
        schema = pa.schema([(name, pa.string()) for name in names])
        texts = {name: kind for name, kind in types.items() if name not in data.types}
        return Opened(schema, _read(files, names, delimiter, dict.fromkeys(names, pa.string()), data), texts=texts)
    direct = {name: types[name] if types[name] in DIRECT and name not in data.types else pa.string() for name in names}
    texts = {name: kind for name, kind in types.items() if name not in data.types and kind not in DIRECT}
    return Opened(pa.schema(direct), _optimistic(files, names, delimiter, direct, survey, data), texts=texts)


def _names(files: list[str], delimiter: str) -> list[str]:
    """Returns: the column names of the first file. Raises: DataError for one twice, or other names elsewhere."""
    first: list[str] = []
    for file in files:
        names = _header(file, delimiter)
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise DataError(
                f"{file}: columns with the same name: {', '.join(map(repr, twice[:10]))}; rename all but one"
            )
        first = first or names
        if set(names) != set(first):
            lacking = sorted(set(names) ^ set(first))
            raise DataError(f"{file} and {files[0]} have different columns: only one of them has {lacking}")
    return first


def _header(file: str, delimiter: str) -> list[str]:
    with opened_stream(file) as stream, explained(file):
        reader = csv.open_csv(
            stream,
            read_options=csv.ReadOptions(block_size=BLOCK_BYTES, use_threads=False),
            parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=_skip),
        )
        names = reader.schema.names
        return [name or f"Unnamed: {place}" for place, name in enumerate(names)]


def _skip(row: Any) -> str:
    return "skip"


def _streamed(
    file: str, names: list[str], delimiter: str, types: dict[str, pa.DataType], data: Data, block: int = BLOCK_BYTES
) -> Iterator[pa.RecordBatch]:
    """Yields: the rows of one file with the columns ordered as `names`."""
    own = _header(file, delimiter)
    padded = [*data.missing, *(f" {text}" for text in data.missing if text)]
    with opened_stream(file) as stream:
        reader = csv.open_csv(
            stream,
            read_options=csv.ReadOptions(block_size=block, column_names=own, skip_rows=0, skip_rows_after_names=1),
            parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                column_types=types,
                include_columns=names,
                null_values=padded,
                strings_can_be_null=True,
                true_values=list(TRUE),
                false_values=list(FALSE),
            ),
        )
        yield from reader


def _read(
    files: list[str], names: list[str], delimiter: str, types: dict[str, pa.DataType], data: Data
) -> Iterator[pa.RecordBatch]:
    for file in files:
        with explained(file):
            yield from _streamed(file, names, delimiter, types, data)


def _optimistic(
    files: list[str], names: list[str], delimiter: str, types: dict[str, pa.DataType], survey: "_Survey", data: Data
) -> Iterator[pa.RecordBatch]:
    """Raises: TypesChanged when a value does not fit, or a text column turns out to be mostly numbers."""
    later = _Survey(survey.texts, data)
    try:
        for batch in _read(files, names, delimiter, types, data):
            later.add(batch.select(survey.texts))
            yield batch
    except pa.ArrowInvalid as error:
        raise TypesChanged(str(error)) from error
    if any(column.is_mostly_numbers or column.type != pa.string() for column in later.columns.values()):
        raise TypesChanged("a text column is mostly numbers")


class _Survey:
    """What every column's texts are."""

    def __init__(self, names: list[str], data: Data) -> None:
        self.columns = {name: TextColumn() for name in names}
        self._data = data

    def add(self, batch: pa.RecordBatch) -> None:
        for name in self.columns:
            self.columns[name].add(cleaned(batch.column(name), self._data.missing))

    def look_at(self, files: list[str], delimiter: str, most_bytes: int | None) -> bool:
        """Reads all files, or the beginning of the first. Returns: whether every row was seen."""
        texts = dict.fromkeys(self.columns, pa.string())
        for file in files[: 1 if most_bytes else None]:
            with explained(file):
                for number, batch in enumerate(
                    _streamed(file, list(self.columns), delimiter, texts, self._data, most_bytes or BLOCK_BYTES)
                ):
                    if most_bytes and number:
                        return False
                    self.add(batch)
        return len(files) == 1 or most_bytes is None

    def check(self) -> None:
        """After the last row. Raises: DataError when an undeclared column is mostly numbers, but not all."""
        for name in self.texts:
            column = self.columns[name]
            if column.is_mostly_numbers:
                others = column.values - column.numbers
                raise DataError(
                    f"column {name!r}: {column.numbers:,} of {column.values:,} values are numbers, {others:,} are not: "
                    f"{listed(column.offenders)}{' ...' if others > len(column.offenders) else ''}; correct them, or "
                    f"name the texts that mean a missing value in data.missing, or say data.types: {{{name}: category}}"
                )

    @property
    def texts(self) -> list[str]:
        """Returns: the columns whose values are texts and were not declared to be."""
        return [n for n, column in self.columns.items() if column.type == pa.string() and n not in self._data.types]

    def types(self) -> dict[str, pa.DataType]:
        """Returns: the type of each column."""
        return {name: column.type for name, column in self.columns.items()}
