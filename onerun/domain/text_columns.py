"""What texts mean: numbers, booleans, dates. The type of a text column fits all its values, not the first ones."""

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
SAID_TRUE, SAID_FALSE = (
    ("true", "t", "yes", "y", "on", "1", "1.0"),
    ("false", "f", "no", "n", "off", "0", "0.0"),
)
SHOWN = 5
FEW = 16
NUMERIC_START = np.isin(np.arange(256), list(b"0123456789+-. \tiI"))

Mask = npt.NDArray[np.bool_]


def text_offsets(texts: pa.StringArray) -> npt.NDArray[np.int32]:
    """Returns: (texts + 1,) where each text begins in the buffer; the last: where it ends."""
    buffer = texts.buffers()[1]
    if not len(texts) or buffer is None:
        return np.zeros(1, np.int32)
    return np.frombuffer(buffer, np.int32)[texts.offset : texts.offset + len(texts) + 1]


def text_bytes(texts: pa.StringArray) -> npt.NDArray[np.uint8]:
    """Returns: (bytes,) the UTF-8 bytes of all texts in order, without gaps."""
    offsets, data = text_offsets(texts), texts.buffers()[2]
    return np.frombuffer(data or b"", np.uint8)[offsets[0] : offsets[-1]]


def first_and_last_bytes(
    texts: pa.StringArray,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Returns: the first and the last byte of each text that has any: much cheaper than a regex."""
    offsets, data = text_offsets(texts), text_bytes(texts)
    filled = offsets[1:] > offsets[:-1]
    return data[offsets[:-1][filled] - offsets[0]], data[offsets[1:][filled] - offsets[0] - 1]


def has_blanks_around(texts: pa.StringArray) -> bool:
    """Whether any text begins or ends with a blank, or with what may be one in Unicode."""
    return any(bool(((edge <= 32) | (edge >= 128)).any()) for edge in first_and_last_bytes(texts))


def may_be_mostly_numbers(texts: pa.StringArray) -> bool:
    """Whether half of the texts begin as a number may; the missing ones count for nothing."""
    first = first_and_last_bytes(texts)[0]
    return int(NUMERIC_START[first].sum()) * 2 > len(first)


def clean(texts: pa.StringArray, missing: Sequence[str]) -> pa.StringArray:
    """Returns: the texts without blanks around them, those that mean a missing value as nulls."""
    trimmed = pc.utf8_trim_whitespace(texts) if has_blanks_around(texts) else texts
    gone = pc.is_in(trimmed, pa.array([text.strip() for text in missing], pa.string()))
    return pc.if_else(gone, pa.scalar(None, pa.string()), trimmed)


def is_number(texts: pa.Array) -> Mask:
    """Returns: (rows,) True where the text is a number; False where it is missing."""
    return _mask(pc.match_substring_regex(texts, NUMBER))


def parse(texts: pa.StringArray, wanted: pa.DataType) -> pa.Array:
    """Returns: the texts as values of `wanted`. Raises: ArrowInvalid when one of them is none."""
    if wanted == pa.bool_():
        return _booleans(texts, TRUE, FALSE)
    if pa.types.is_integer(wanted) or pa.types.is_floating(wanted):
        texts = _without_plus(texts)
    return texts.cast(wanted)


def _without_plus(texts: pa.StringArray) -> pa.StringArray:
    """Arrow reads -5, but not +5; looking costs less than replacing."""
    has_plus = bool((first_and_last_bytes(texts)[0] == ord("+")).any())
    return pc.replace_substring_regex(texts, r"^\+", "") if has_plus else texts


def _booleans(texts: pa.StringArray, true: Sequence[str], false: Sequence[str]) -> pa.Array:
    yes, no = pc.is_in(texts, pa.array(true)), pc.is_in(texts, pa.array(false))
    if not pc.all(pc.or_(pc.or_(yes, no), pc.is_null(texts))).as_py():
        raise pa.ArrowInvalid("not a boolean")
    return pc.if_else(pc.is_null(texts), pa.scalar(None, pa.bool_()), yes)


def parse_declared(texts: pa.StringArray, wanted: pa.DataType) -> tuple[pa.Array, Mask]:
    """Returns: the values of a column declared as `wanted`, and (rows,) True where a text is none (the value is null).

    More generous than `parsed`: yes, no, t, f, on, off, 1, 0 are booleans; 3.0 is an integer.
    """
    try:
        return _read(texts, wanted), np.zeros(len(texts), np.bool_)
    except pa.ArrowInvalid:
        good = np.array(
            [_readable(text, wanted) for text in texts.dictionary_encode().dictionary.to_pylist()],
            np.bool_,
        )
        codes = texts.dictionary_encode().indices
        fits = np.append(good, True)[pc.fill_null(codes, len(good)).to_numpy(zero_copy_only=False)]
        return _read(pc.if_else(pa.array(fits), texts, pa.scalar(None, pa.string())), wanted), ~fits


def _readable(text: str, wanted: pa.DataType) -> bool:
    try:
        _read(pa.array([text], pa.string()), wanted)
    except pa.ArrowInvalid:
        return False
    return True


def _read(texts: pa.StringArray, wanted: pa.DataType) -> pa.Array:
    if wanted == pa.bool_():
        return _booleans(pc.utf8_lower(texts), SAID_TRUE, SAID_FALSE)
    if wanted == pa.int64():
        try:
            return parse(texts, wanted)
        except pa.ArrowInvalid:
            return parse(texts, pa.float64()).cast(wanted)  # 3.0 passes, 3.5 does not
    return parse(texts, wanted)


@dataclass
class TextColumn:
    """What is known of one text column after the batches seen so far."""

    exact: bool = (
        True  # False: texts that are no numbers by their first byte are not counted one by one
    )
    types: tuple[pa.DataType, ...] | None = (
        None  # that still fit, best first; None: nothing but missing values so far
    )
    rows: int = 0
    values: int = 0
    numbers: int = 0
    offenders: list[tuple[int, str]] = field(
        default_factory=list
    )  # (row from 1, text) that are no numbers

    def add(self, texts: pa.StringArray) -> None:
        """`texts`: the next rows, cleaned."""
        present = len(texts) - texts.null_count
        if present:
            families = FAMILIES if self.types is None else (self.types,)
            self.types = next(
                (rest for family in families if (rest := _still_fitting(texts, family))), ()
            )
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
            others = np.flatnonzero(~numeric & _mask(pc.is_valid(texts)))[
                : SHOWN - len(self.offenders)
            ]
            self.offenders += [(self.rows + int(i) + 1, texts[int(i)].as_py()) for i in others]

    @property
    def type(self) -> pa.DataType:
        """The type that fits all values seen: double when there are none, string when nothing else does."""
        return pa.float64() if self.types is None else self.types[0] if self.types else pa.string()

    @property
    def is_mostly_numbers(self) -> bool:
        """Whether most values are numbers, but not all: a slip in the table, or a text that means missing."""
        return self.types == () and self.numbers * 2 > self.values


def _still_fitting(
    texts: pa.StringArray, types: tuple[pa.DataType, ...]
) -> tuple[pa.DataType, ...]:
    for position, wanted in enumerate(types):
        try:
            parse(
                texts[:FEW], wanted
            )  # Arrow words an error for each misfit: most types fall here, cheaply
            parse(texts, wanted)
        except pa.ArrowInvalid:
            continue
        return types[position:]
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
    """Returns: the kept type of a column of type `given` that is declared as `name`; a date stays as exact as it is."""
    kept = stored_type(given)
    if (
        name == "date"
        and kept is not None
        and (pa.types.is_date(kept) or pa.types.is_timestamp(kept))
    ):
        return kept
    if name in ("number", "integer") and kept is not None and (pa.types.is_integer(kept)):
        return kept
    return TYPE_BY_NAME[name]


@dataclass
class Conversion:
    """One column's way to its declared type, over all batches."""

    name: str
    wanted: pa.DataType
    missing: tuple[str, ...]
    said: str  # who wants it: `data.types: {x: number}`
    rows: int = 0
    misfits: int = 0
    shown: list[tuple[int, str]] = field(default_factory=list)

    def apply(self, column: pa.Array) -> pa.Array:
        """Returns: the next rows converted, misfits as nulls."""
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        start, self.rows = self.rows, self.rows + len(column)
        if column.type == self.wanted:
            is_clean = self.wanted != pa.string() or not has_blanks_around(column)
            return column if is_clean else clean(column, self.missing)
        if self.wanted == pa.string():
            return column.cast(pa.string())
        texts = clean(column.cast(pa.string()), self.missing)
        values, misfit = parse_declared(texts, self.wanted)
        self.misfits += int(misfit.sum())
        for position in np.flatnonzero(misfit)[: SHOWN - len(self.shown)]:
            self.shown.append((start + int(position) + 1, texts[int(position)].as_py()))
        return values

    def check(self) -> None:
        """Raises: DataError when values did not fit."""
        if self.misfits:
            raise DataError(
                f"column {self.name!r}: {self.misfits:,} of {self.rows:,} rows are no {self.said}: {listed(self.shown)}"
                f"{' ...' if self.misfits > len(self.shown) else ''}; correct them, or name the texts that mean a "
                "missing value in data.missing, or declare another type in data.types"
            )


def listed(shown: list[tuple[int, str]]) -> str:
    """Returns: `row 3: 'abc', row 7: 'x'`."""
    return ", ".join(f"row {row:,}: {text[:80]!r}" for row, text in shown)


def apply_all(batch: pa.RecordBatch, conversions: Mapping[str, Conversion]) -> pa.RecordBatch:
    """Returns: the batch with the declared columns converted."""
    columns = [
        conversions[name].apply(column) if name in conversions else column
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
