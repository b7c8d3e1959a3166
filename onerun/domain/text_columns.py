"""What texts mean: numbers, booleans, dates. The type of a text column fits all its values, not the
first ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from onerun.config.recipe import ColumnType
from onerun.domain.columns import stored_type
from onerun.domain.errors import DataError

MOMENT = pa.timestamp("us")
MOMENT_UTC = pa.timestamp("us", "UTC")
FAMILIES = ((pa.int64(), pa.float64()), (pa.bool_(),), (pa.date32(), MOMENT, MOMENT_UTC))
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?[iI]nf(inity)?$"
TRUE, FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")
DECLARED_TRUE = ("true", "t", "yes", "y", "on", "1", "1.0")
DECLARED_FALSE = ("false", "f", "no", "n", "off", "0", "0.0")
SHOWN = 5
FEW = 16
NUMERIC_START = np.isin(np.arange(256), list(b"0123456789+-. \tiI"))

Mask = npt.NDArray[np.bool_]


def text_offsets(texts: pa.StringArray) -> npt.NDArray[np.int32]:
    """Return (texts + 1,) offsets at which each text begins in the buffer; the last one is the
    end.
    """
    buffer = texts.buffers()[1]
    if not len(texts) or buffer is None:
        return np.zeros(1, np.int32)
    return np.frombuffer(buffer, np.int32)[texts.offset : texts.offset + len(texts) + 1]


def text_bytes(texts: pa.StringArray) -> npt.NDArray[np.uint8]:
    """Return (bytes,) the UTF-8 bytes of all texts in order, without gaps."""
    offsets, data = text_offsets(texts), texts.buffers()[2]
    return np.frombuffer(data or b"", np.uint8)[offsets[0] : offsets[-1]]


def first_and_last_bytes(
    texts: pa.StringArray,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return the first and the last byte of each text that has any: much cheaper than a regex."""
    offsets, data = text_offsets(texts), text_bytes(texts)
    filled = offsets[1:] > offsets[:-1]
    return data[offsets[:-1][filled] - offsets[0]], data[offsets[1:][filled] - offsets[0] - 1]


def has_blanks_around(texts: pa.StringArray) -> bool:
    """Return whether any text begins or ends with a blank, or with what may be one in Unicode."""
    first, last = first_and_last_bytes(texts)
    return _may_hold_a_blank(first) or _may_hold_a_blank(last)


def _may_hold_a_blank(edge: npt.NDArray[np.uint8]) -> bool:
    return bool(((edge <= 32) | (edge >= 128)).any())


def may_be_mostly_numbers(texts: pa.StringArray) -> bool:
    """Return whether more than half of the texts begin as a number may; missing ones do not
    count.
    """
    first = first_and_last_bytes(texts)[0]
    return int(NUMERIC_START[first].sum()) * 2 > len(first)


def clean(texts: pa.StringArray, missing: Sequence[str]) -> pa.StringArray:
    """Return the texts without blanks around them, those that mean a missing value as nulls."""
    if has_blanks_around(texts):
        texts = pc.utf8_trim_whitespace(texts)
    is_missing = pc.is_in(texts, pa.array([text.strip() for text in missing], pa.string()))
    return pc.if_else(is_missing, pa.scalar(None, pa.string()), texts)


def is_number(texts: pa.Array) -> Mask:
    """Return (rows,) True where the text is a number; False where it is missing."""
    return _mask(pc.match_substring_regex(texts, NUMBER))


def parse(texts: pa.StringArray, target: pa.DataType) -> pa.Array:
    """Return the texts as values of the type `target`.

    Raises:
        ArrowInvalid: A text is not such a value.
    """
    if target == pa.bool_():
        return _booleans(texts, TRUE, FALSE)
    if pa.types.is_integer(target) or pa.types.is_floating(target):
        texts = _without_plus(texts)
    return texts.cast(target)


def _without_plus(texts: pa.StringArray) -> pa.StringArray:
    """Return the texts without a leading plus: Arrow reads -5, but not +5. The test costs less than
    the regex.
    """
    if not (first_and_last_bytes(texts)[0] == ord("+")).any():
        return texts
    return pc.replace_substring_regex(texts, r"^\+", "")


def _booleans(texts: pa.StringArray, true: Sequence[str], false: Sequence[str]) -> pa.Array:
    yes, no = pc.is_in(texts, pa.array(true)), pc.is_in(texts, pa.array(false))
    if not pc.all(pc.or_(pc.or_(yes, no), pc.is_null(texts))).as_py():
        raise pa.ArrowInvalid("not a boolean")
    return pc.if_else(pc.is_null(texts), pa.scalar(None, pa.bool_()), yes)


def parse_declared(texts: pa.StringArray, target: pa.DataType) -> tuple[pa.Array, Mask]:
    """Return the values of a column declared as `target`, and (rows,) True where a text is not one
    (then null).

    More generous than `parse`: yes, no, t, f, on, off, 1, 0 are booleans; 3.0 is an integer.
    """
    try:
        return _parse_generously(texts, target), np.zeros(len(texts), np.bool_)
    except pa.ArrowInvalid:
        encoded = texts.dictionary_encode()
        good = [_is_readable(text, target) for text in encoded.dictionary.to_pylist()]
        codes = pc.fill_null(encoded.indices, len(good)).to_numpy(zero_copy_only=False)
        fits = np.array([*good, True], np.bool_)[codes]
        readable = pc.if_else(pa.array(fits), texts, pa.scalar(None, pa.string()))
        return _parse_generously(readable, target), ~fits


def _is_readable(text: str, target: pa.DataType) -> bool:
    try:
        _parse_generously(pa.array([text], pa.string()), target)
    except pa.ArrowInvalid:
        return False
    return True


def _parse_generously(texts: pa.StringArray, target: pa.DataType) -> pa.Array:
    if target == pa.bool_():
        return _booleans(pc.utf8_lower(texts), DECLARED_TRUE, DECLARED_FALSE)
    if target == pa.int64():
        try:
            return parse(texts, target)
        except pa.ArrowInvalid:
            return parse(texts, pa.float64()).cast(target)  # 3.0 passes, 3.5 does not
    return parse(texts, target)


@dataclass
class TextColumn:
    """What is known of one text column after the batches seen so far."""

    exact: bool = True  # False: only texts whose first byte may begin a number are counted
    # types that still fit, best first; None: nothing but missing values so far
    types: tuple[pa.DataType, ...] | None = None
    rows: int = 0
    values: int = 0
    numbers: int = 0
    # (row from 1, text) of texts that are not numbers
    offenders: list[tuple[int, str]] = field(default_factory=list)

    def add(self, texts: pa.StringArray) -> None:
        """Add the next rows, without blanks around texts and with missing values as nulls."""
        present = len(texts) - texts.null_count
        if present:
            self.types = _types_that_fit(texts, self.types)
            self._count_numbers(texts, present)
        self.rows += len(texts)
        self.values += present

    def _count_numbers(self, texts: pa.StringArray, present: int) -> None:
        if self.types and self.types[-1] == pa.float64():
            self.numbers += present
            return
        if not self.exact and not may_be_mostly_numbers(texts):
            return
        numeric = is_number(texts)
        self.numbers += int(numeric.sum())
        if len(self.offenders) < SHOWN:
            others = np.flatnonzero(~numeric & _mask(pc.is_valid(texts)))
            others = others[: SHOWN - len(self.offenders)]
            self.offenders += [(self.rows + int(i) + 1, texts[int(i)].as_py()) for i in others]

    @property
    def type(self) -> pa.DataType:
        """Return the type that fits all values seen: double without values, string when nothing
        else fits.
        """
        if self.types is None:
            return pa.float64()
        return self.types[0] if self.types else pa.string()

    @property
    def is_mostly_numbers(self) -> bool:
        """Return whether most values are numbers, but not all: a typing error, or a text that means
        missing.
        """
        return self.types == () and self.numbers * 2 > self.values


def _types_that_fit(
    texts: pa.StringArray, known: tuple[pa.DataType, ...] | None
) -> tuple[pa.DataType, ...]:
    """Return the types of the first family that fit all texts, best first; `known`: those that fit
    so far.
    """
    for family in FAMILIES if known is None else (known,):
        for position, target in enumerate(family):
            try:
                # Arrow formats an error for each misfit: most types fail here, cheaply
                parse(texts[:FEW], target)
                parse(texts, target)
            except pa.ArrowInvalid:
                continue
            return family[position:]
    return ()


def _mask(column: pa.Array) -> Mask:
    return np.asarray(pc.fill_null(column, False).to_numpy(zero_copy_only=False), dtype=np.bool_)


TYPE_BY_NAME: dict[ColumnType, pa.DataType] = {
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "category": pa.string(),
    "date": MOMENT,
}


def declared_type(name: ColumnType, given: pa.DataType) -> pa.DataType:
    """Return the stored type of a column of type `given` that is declared as `name`; dates keep
    their unit.
    """
    stored = stored_type(given)
    if stored is None:
        return TYPE_BY_NAME[name]
    is_date = pa.types.is_date(stored) or pa.types.is_timestamp(stored)
    if name == "date" and is_date:
        return stored
    if name in ("number", "integer") and pa.types.is_integer(stored):
        return stored
    return TYPE_BY_NAME[name]


@dataclass
class Conversion:
    """The conversion of one column to its declared type, over all batches; values that do not fit
    are counted.
    """

    name: str
    target: pa.DataType
    missing: tuple[str, ...]
    label: str  # of the type in messages, such as `number (data.types)`
    rows: int = 0
    misfits: int = 0
    shown: list[tuple[int, str]] = field(default_factory=list)

    def apply(self, column: pa.Array) -> pa.Array:
        """Return the next rows converted, misfits as nulls."""
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        start, self.rows = self.rows, self.rows + len(column)
        if column.type == self.target:
            if self.target == pa.string() and has_blanks_around(column):
                return clean(column, self.missing)
            return column
        if self.target == pa.string():
            return column.cast(pa.string())
        texts = clean(column.cast(pa.string()), self.missing)
        values, misfit = parse_declared(texts, self.target)
        self.misfits += int(misfit.sum())
        for position in np.flatnonzero(misfit)[: SHOWN - len(self.shown)]:
            self.shown.append((start + int(position) + 1, texts[int(position)].as_py()))
        return values

    def check(self) -> None:
        """Raise DataError, after the last batch, when values did not fit."""
        if self.misfits:
            more = " ..." if self.misfits > len(self.shown) else ""
            raise DataError(
                f"column {self.name!r}: {self.misfits:,} of {self.rows:,} rows "
                f"are not {self.label}: {listed(self.shown)}{more}; correct them, "
                "or name the texts that mean a missing value in data.missing, "
                "or declare another type in data.types"
            )


def listed(shown: list[tuple[int, str]]) -> str:
    """Return `row 3: 'abc', row 7: 'x'`."""
    return ", ".join(f"row {row:,}: {text[:80]!r}" for row, text in shown)


def apply_all(batch: pa.RecordBatch, conversions: Mapping[str, Conversion]) -> pa.RecordBatch:
    """Return the batch with the declared columns converted."""
    columns = [
        conversions[name].apply(column) if name in conversions else column
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
