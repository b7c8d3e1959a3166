"""CSV and TSV: types that are right for the whole file, at the speed of one read.

The first megabytes are read as text, and every column's type is inferred from them. Then all is
read straight into those types. When a later value does not fit (`TypesChanged`), the whole file is
surveyed as text and read again.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.csv as csv

from onerun.config.recipe import Data
from onerun.data.source_table import SourceTable, TypesChanged
from onerun.data.sources.files import open_stream
from onerun.domain.errors import DataError
from onerun.domain.text_columns import FALSE, TRUE, TextColumn, clean, has_blanks_around, listed


class Survey:
    """The types of text columns, inferred batch by batch; `exact` counts every value."""

    def __init__(self, names: Sequence[str], data: Data, exact: bool = True) -> None:
        self.columns = {name: TextColumn(exact) for name in names}
        self._data = data

    def add(self, batch: pa.RecordBatch) -> None:
        """Add the next rows, all columns as texts."""
        for name, column in self.columns.items():
            texts = batch.column(name)
            if has_blanks_around(texts):
                texts = clean(texts, self._data.missing)
            column.add(texts)

    @property
    def types(self) -> dict[str, pa.DataType]:
        """Return the type of each column."""
        return {name: column.type for name, column in self.columns.items()}

    @property
    def undeclared_texts(self) -> list[str]:
        """Return the text columns that the recipe does not declare."""
        texts = [name for name, found in self.types.items() if found == pa.string()]
        return [name for name in texts if name not in self._data.types]

    @property
    def has_unseen(self) -> bool:
        """Return whether some column has no value yet."""
        return any(column.types is None for column in self.columns.values())

    @property
    def is_contradicted(self) -> bool:
        """Return whether a column is mostly numbers, or not a text column."""
        return any(
            column.is_mostly_numbers or column.types != () for column in self.columns.values()
        )

    def check(self) -> None:
        """Raise DataError, after the last row, when an undeclared column holds mostly numbers, but
        not only.
        """
        for name in self.undeclared_texts:
            column = self.columns[name]
            if column.is_mostly_numbers:
                others = column.values - column.numbers
                more = " ..." if others > len(column.offenders) else ""
                raise DataError(
                    f"column {name!r}: {column.numbers:,} of {column.values:,} values are numbers, "
                    f"but not {listed(column.offenders)}{more}; correct them, or name the texts "
                    "that mean a missing value in data.missing, or declare data.types: "
                    f"{{{name}: category}}"
                )


SAMPLE_BYTES = 2 * 2**20
BLOCK_BYTES = 2**20  # the fastest of 1, 4 and 16 MB
DIRECT = (pa.int64(), pa.float64(), pa.bool_(), pa.date32())


def open_delimited(files: list[str], data: Data, delimiter: str, careful: bool) -> SourceTable:
    """Return the rows of all files, in order.

    Args:
        files: At least one.
        data: The recipe's section.
        delimiter: The usual one for the files' format.
        careful: Read every value before deciding on types.

    Raises:
        DataError: A file is empty or malformed, or the files do not fit together.
    """
    table = _Delimited(files, data, _delimiter(files[0], delimiter))
    survey = Survey(table.names, data)
    is_whole = table.add_to(survey, None if careful else SAMPLE_BYTES)
    if not is_whole and survey.has_unseen:
        survey = Survey(table.names, data)
        is_whole = table.add_to(survey, None)
    inferred = {name: found for name, found in survey.types.items() if name not in data.types}
    types = dict.fromkeys(table.names, pa.string()) | inferred
    if is_whole:
        survey.check()
        schema = pa.schema(dict.fromkeys(types, pa.string()))
        return SourceTable(schema, table.batches({}), texts=inferred)
    direct = {name: found if found in DIRECT else pa.string() for name, found in types.items()}
    texts = {name: found for name, found in inferred.items() if found not in DIRECT}
    batches = _optimistic(table, direct, survey.undeclared_texts, data)
    return SourceTable(pa.schema(direct), batches, texts=texts)


def _optimistic(
    table: "_Delimited", types: dict[str, pa.DataType], texts: list[str], data: Data
) -> Iterator[pa.RecordBatch]:
    """Yield the rows as the given types.

    Raises:
        TypesChanged: A value does not fit, or a text column holds something else.
    """
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
    """Return the delimiter: semicolons or tabs for a CSV file whose header has those and no
    comma.
    """
    with open_stream(file) as stream, readable_errors(file):
        header = stream.read(2**16).partition(b"\n")[0]
    if usual == "," and b"," not in header:
        for other in (";", "\t"):
            if other.encode() in header:
                return other
    return usual


class _Delimited:
    """Files with the same columns, perhaps in another order."""

    def __init__(self, files: list[str], data: Data, delimiter: str) -> None:
        """Raise DataError for a repeated column name, or files with different columns."""
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
        with open_stream(file) as stream, readable_errors(file):
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
        """Yield all rows, columns ordered as `names`, of the given types or as text.

        Raises:
            ArrowInvalid: A value does not fit its type.
            DataError: A file is malformed.
        """
        missing = self._data.missing
        with_blank = [f" {text}" for text in missing if text]  # ", NA" is as frequent as ",NA"
        converting = csv.ConvertOptions(
            column_types={name: types.get(name, pa.string()) for name in self.names},
            include_columns=self.names,
            null_values=[*missing, *with_blank],
            strings_can_be_null=True,
            true_values=TRUE,
            false_values=FALSE,
        )
        for file, header in self._headers.items():
            reading = csv.ReadOptions(
                block_size=block, column_names=header, skip_rows_after_names=1
            )
            with open_stream(file) as stream, readable_errors(file):
                reader = csv.open_csv(stream, reading, self._parsing(), converting)
                yield from reader

    def add_to(self, survey: Survey, most_bytes: int | None) -> bool:
        """Add the rows of the first bytes, or all, to `survey`. Returns whether it has every
        row.
        """
        for number, batch in enumerate(self.batches({}, most_bytes or BLOCK_BYTES)):
            if most_bytes and number:
                return False
            survey.add(batch)
        return True


CHUNK = 2**20


@contextmanager
def readable_errors(file: str) -> Iterator[None]:
    """Translate Arrow's errors about a malformed file into a DataError; those about values that do
    not fit pass.
    """
    try:
        yield
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: {_not_utf8(file)}") from error
    except pa.ArrowInvalid as error:
        if "conversion error" in str(error) and "UTF8" not in str(error):
            raise
        raise DataError(f"{file}: {_reason(file, str(error))}") from error
    except PermissionError:
        raise
    except (OSError, EOFError) as error:
        raise DataError(
            f"{file}: cannot be read to its end ({error}); is it cut off, "
            "or not compressed as named?"
        ) from error


def _reason(file: str, message: str) -> str:
    if "Empty CSV" in message:
        return "the file is empty"
    if "straddling object" in message:  # Arrow's message for a row that does not end within a block
        return (
            "a row is longer than a megabyte; is a closing quote missing, "
            "or does a cell hold a whole file?"
        )
    if "UTF8" in message or "UTF-8" in message:
        return _not_utf8(file)
    ragged = re.search(
        r"CSV parse error:.*?Expected (\d+) columns, got (\d+)(?:: (.*))?", message, re.DOTALL
    )
    if ragged:
        return _ragged(file, *ragged.groups())
    return f"cannot be read as a table: {message.partition(chr(10))[0]}"


def _ragged(file: str, expected: str, got: str, text: str | None) -> str:
    text = text or ""
    line = _line_of(file, text)
    where = f"line {line:,}" if line else "a row"
    return (
        f"{where} has {got} values where the header has {expected} columns: {text.strip()[:200]!r}"
    )


def _line_of(file: str, text: str) -> int | None:
    """Return the line (from 1) that begins with `text`, or None. Reads the file again: only after
    an error.
    """
    if not text.strip():
        return None
    first = text.encode().splitlines()[0]
    for number, line in enumerate(_lines(file), start=1):
        if first and line.rstrip(b"\r\n") == first:
            return number
    return None


def _not_utf8(file: str) -> str:
    with open_stream(file) as stream:
        if stream.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            return (
                "the text is UTF-16, not UTF-8; "
                "convert the file, for example: iconv -f utf-16 -t utf-8"
            )
    for number, line in enumerate(_lines(file), start=1):
        try:
            line.decode()
        except UnicodeDecodeError as error:
            byte = line[error.start]
            return (
                f"line {number:,} is not UTF-8: byte 0x{byte:02x} "
                f"at its position {error.start + 1}; "
                "convert the file, for example: iconv -f latin1 -t utf-8"
            )
    return "the text is not UTF-8; convert the file, for example: iconv -f latin1 -t utf-8"


def _lines(file: str) -> Iterator[bytes]:
    with open_stream(file) as stream:
        rest = b""
        while chunk := stream.read(CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
        if rest:
            yield rest
