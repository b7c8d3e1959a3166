"""CSV and TSV: types that are right for the whole file, at the speed of one read.

The first megabytes are read as text, and every column's type is seen from them. Then all is read straight into those
types. When a later value does not fit (`TypesChanged`), all of the file is surveyed as text before it is read again.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.csv as csv

from onerun.config.recipe import Data
from onerun.data.sources.files import opened_stream
from onerun.data.sources.malformed import explained
from onerun.data.sources.opened import Opened, TypesChanged
from onerun.data.sources.survey import Survey
from onerun.domain.errors import DataError
from onerun.domain.texts import FALSE, TRUE

SAMPLE_BYTES = 2 * 2**20
BLOCK_BYTES = 2**20  # the fastest of 1, 4 and 16 MB
DIRECT = (pa.int64(), pa.float64(), pa.bool_(), pa.date32())


def opened(files: list[str], data: Data, delimiter: str, careful: bool) -> Opened:
    """Returns: the rows of all files, in order. `careful`: look at every value before deciding on types.

    Raises: DataError when a file is empty or malformed or the files do not fit together.
    """
    table = _Delimited(files, data, _delimiter(files[0], delimiter))
    survey = Survey(table.names, data)
    whole = table.shown_to(survey, None if careful else SAMPLE_BYTES)
    if not whole and survey.has_unseen:
        survey = Survey(table.names, data)
        whole = table.shown_to(survey, None)
    types = {
        name: pa.string() if name in data.types else found for name, found in survey.types.items()
    }
    if whole:
        survey.check()
        texts = {name: found for name, found in types.items() if name not in data.types}
        return Opened(pa.schema(dict.fromkeys(types, pa.string())), table.batches({}), texts=texts)
    direct = {name: found if found in DIRECT else pa.string() for name, found in types.items()}
    texts = {
        name: found
        for name, found in types.items()
        if found not in DIRECT and name not in data.types
    }
    return Opened(
        pa.schema(direct), _optimistic(table, direct, survey.undeclared_texts, data), texts=texts
    )


def _optimistic(
    table: "_Delimited", types: dict[str, pa.DataType], texts: list[str], data: Data
) -> Iterator[pa.RecordBatch]:
    """Raises: TypesChanged when a value does not fit, or a text column turns out to be something else."""
    later = Survey(texts, data, exact=False)
    try:
        for batch in table.batches(types):
            later.add(batch)
            yield batch
    except pa.ArrowInvalid as error:
        raise TypesChanged(str(error)) from error
    if later.is_contradicted:
        raise TypesChanged("a text column is mostly numbers")


def _delimiter(file: str, usual: str) -> str:
    """Returns: the delimiter; a CSV file whose header has semicolons or tabs and no comma is separated by those."""
    with opened_stream(file) as stream, explained(file):
        header = stream.read(2**16).partition(b"\n")[0]
    others = [other for other in (";", "\t") if other.encode() in header]
    return others[0] if usual == "," and others and b"," not in header else usual


class _Delimited:
    """Files with the same columns, perhaps in another order."""

    def __init__(self, files: list[str], data: Data, delimiter: str) -> None:
        """Raises: DataError for a name that stands twice, or other names in another file."""
        self._data, self._delimiter = data, delimiter
        self._headers = {file: self._header(file) for file in files}
        self.names = self._headers[files[0]]
        for file, names in self._headers.items():
            twice = [name for name, count in Counter(names).items() if count > 1]
            if twice:
                shown = ", ".join(map(repr, twice[:10]))
                raise DataError(f"{file}: columns with the same name: {shown}; rename all but one")
            lacking = sorted(set(names) ^ set(self.names))
            if lacking:
                raise DataError(
                    f"{file} and {files[0]} have different columns: only one of them has {lacking}"
                )

    def _header(self, file: str) -> list[str]:
        with opened_stream(file) as stream, explained(file):
            reader = csv.open_csv(
                stream,
                read_options=csv.ReadOptions(block_size=BLOCK_BYTES, use_threads=False),
                parse_options=self._parsing(invalid_row_handler=lambda row: "skip"),
            )
            return [name or f"Unnamed: {place}" for place, name in enumerate(reader.schema.names)]

    def _parsing(self, **more: Any) -> csv.ParseOptions:
        return csv.ParseOptions(delimiter=self._delimiter, newlines_in_values=True, **more)

    def batches(
        self, types: dict[str, pa.DataType], block: int = BLOCK_BYTES
    ) -> Iterator[pa.RecordBatch]:
        """Yields: all rows, columns ordered as `names`, of the given types or as text.

        Raises: ArrowInvalid when a value does not fit its type, DataError when a file is malformed.
        """
        missing = self._data.missing
        converting = csv.ConvertOptions(
            column_types={name: types.get(name, pa.string()) for name in self.names},
            include_columns=self.names,
            null_values=[
                *missing,
                *(f" {text}" for text in missing if text),
            ],  # ", NA" is as frequent as ",NA"
            strings_can_be_null=True,
            true_values=TRUE,
            false_values=FALSE,
        )
        for file, header in self._headers.items():
            reading = csv.ReadOptions(
                block_size=block, column_names=header, skip_rows_after_names=1
            )
            with opened_stream(file) as stream, explained(file):
                reader = csv.open_csv(stream, reading, self._parsing(), converting)
                yield from reader

    def shown_to(self, survey: Survey, most_bytes: int | None) -> bool:
        """Shows `survey` the first bytes, or all. Returns: whether it has seen every row."""
        for number, batch in enumerate(self.batches({}, most_bytes or BLOCK_BYTES)):
            if most_bytes and number:
                return False
            survey.add(batch)
        return True
