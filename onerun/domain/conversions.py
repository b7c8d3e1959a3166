"""Columns that `data.types` names, brought to the declared type; what does not fit is counted and shown."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from onerun.config.recipe import ColumnType
from onerun.domain.columns import kept_type
from onerun.domain.errors import DataError
from onerun.domain.texts import MOMENT, SHOWN, cleaned, declared, has_blanks_around

TYPE_BY_NAME: dict[ColumnType, pa.DataType] = {
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "category": pa.string(),
    "date": MOMENT,
}


def declared_type(name: ColumnType, given: pa.DataType) -> pa.DataType:
    """Returns: the kept type of a column of type `given` that is declared as `name`; a date stays as exact as it is."""
    kept = kept_type(given)
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
            clean = self.wanted != pa.string() or not has_blanks_around(column)
            return column if clean else cleaned(column, self.missing)
        if self.wanted == pa.string():
            return column.cast(pa.string())
        texts = cleaned(column.cast(pa.string()), self.missing)
        values, misfit = declared(texts, self.wanted)
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
