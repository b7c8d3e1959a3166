"""A source as a table that can be read once, and the part that the snapshot holds, converted as
declared.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from onerun.config.recipe import Data
from onerun.domain.columns import require, stored_type
from onerun.domain.errors import DataError
from onerun.domain.text_columns import Conversion, apply_all, declared_type


class TypesChanged(Exception):
    """A later row does not fit the types that the first rows had: open the source again,
    carefully.
    """


@dataclass(frozen=True)
class SourceTable:
    """A table that can be read once, from the first row to the last."""

    schema: pa.Schema  # of the batches
    batches: Iterator[pa.RecordBatch]
    rows: int | None = None  # where it is known before reading
    # text columns that hold values of this type
    texts: Mapping[str, pa.DataType] = field(default_factory=dict)


class TypedSource:
    """A source converted as declared; `schema` holds stored types, `dropped` counts rows without a
    target.
    """

    def __init__(self, source: SourceTable, data: Data) -> None:
        """Raise DataError when the table lacks a column of the recipe, or a column holds no plain
        values.
        """
        names = source.schema.names
        require([data.target], names, "data.target")
        require(data.types, names, "data.types")
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            shown = ", ".join(map(repr, twice[:10]))
            raise DataError(f"columns with the same name: {shown}; rename all but one")
        self._source = source
        self._data = data
        self._conversions = _conversions(source, data)
        self.schema = self._stored_schema()
        self.expected_rows = source.rows
        self.seen = 0
        self.dropped = 0

    def _stored_schema(self) -> pa.Schema:
        fields = []
        for column in self._source.schema:
            conversion = self._conversions.get(column.name)
            stored = conversion.target if conversion else stored_type(column.type)
            if stored is not None:
                fields.append((column.name, stored))
            elif column.name not in self._data.drop:
                raise DataError(
                    f"column {column.name!r} is {column.type}: not a column of plain values; "
                    "put it into data.drop"
                )
        return pa.schema(fields)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the converted rows that have a target."""
        for batch in self._source.batches:
            self.seen += batch.num_rows
            converted = apply_all(batch, self._conversions).select(self.schema.names)
            rows = _with_target(converted, self._data.target)
            self.dropped += batch.num_rows - rows.num_rows
            yield rows

    def check(self) -> None:
        """Raise DataError, after the last batch, for values that are not as declared and when no
        row is left.
        """
        for conversion in self._conversions.values():
            conversion.check()
        if not self.seen:
            raise DataError("the table has no rows")
        if self.seen == self.dropped:
            raise DataError(
                f"the target {self._data.target!r} is missing in all {self.seen:,} rows"
            )


def _conversions(source: SourceTable, data: Data) -> dict[str, Conversion]:
    conversions = {}
    for name, target in source.texts.items():
        conversions[name] = Conversion(name, target, data.missing, str(target))
    for name, declared in data.types.items():
        given = source.texts.get(name, source.schema.field(name).type)
        target = declared_type(declared, given)
        conversions[name] = Conversion(name, target, data.missing, f"{declared} (data.types)")
    return conversions


def _with_target(batch: pa.RecordBatch, target: str) -> pa.RecordBatch:
    column = batch.column(target)
    missing = pc.is_null(column, nan_is_null=pa.types.is_floating(column.type))
    if not pc.any(missing).as_py():
        return batch
    return batch.filter(pc.invert(missing))
