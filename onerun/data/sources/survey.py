"""What the texts of a delimited file are, column by column."""

from collections.abc import Sequence

import pyarrow as pa

from onerun.config.recipe import Data
from onerun.domain.conversions import listed
from onerun.domain.errors import DataError
from onerun.domain.texts import TextColumn, cleaned, has_blanks_around


class Survey:
    """Looks at batches of texts, in order; `exact`: count every value, not only what decides."""

    def __init__(self, names: Sequence[str], data: Data, exact: bool = True) -> None:
        self.columns = {name: TextColumn(exact) for name in names}
        self._data = data

    def add(self, batch: pa.RecordBatch) -> None:
        """The next rows, all columns as texts."""
        for name, column in self.columns.items():
            texts = batch.column(name)
            column.add(cleaned(texts, self._data.missing) if has_blanks_around(texts) else texts)

    @property
    def types(self) -> dict[str, pa.DataType]:
        """The type of each column."""
        return {name: column.type for name, column in self.columns.items()}

    @property
    def undeclared_texts(self) -> list[str]:
        """The columns whose values are texts, and that the recipe does not declare."""
        return [
            n for n, kind in self.types.items() if kind == pa.string() and n not in self._data.types
        ]

    @property
    def has_unseen(self) -> bool:
        """Whether some column had no value yet."""
        return any(column.types is None for column in self.columns.values())

    @property
    def is_contradicted(self) -> bool:
        """Whether texts turn out to be mostly numbers, or anything but texts."""
        return any(
            column.is_mostly_numbers or column.types != () for column in self.columns.values()
        )

    def check(self) -> None:
        """After the last row. Raises: DataError when an undeclared column is mostly numbers, but not all."""
        for name in self.undeclared_texts:
            column = self.columns[name]
            others = column.values - column.numbers
            if column.is_mostly_numbers:
                raise DataError(
                    f"column {name!r}: {column.numbers:,} of {column.values:,} values are numbers, but not "
                    f"{listed(column.offenders)}{' ...' if others > len(column.offenders) else ''}; correct them, or "
                    f"name the texts that mean a missing value in data.missing, or say data.types: {{{name}: category}}"
                )
