"""The snapshot's columns as pandas frames, which is what Great Expectations takes."""

from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    import pandas as pd


def as_frame(table: pa.Table, rows: int) -> "pd.DataFrame":
    """Returns: (rows, columns of `table`) frame, days and instants as timestamps; the table is used up."""
    import pandas as pd

    if not table.num_columns:
        return pd.DataFrame(index=pd.RangeIndex(rows))
    frame: pd.DataFrame = plain(table).to_pandas(
        split_blocks=True, self_destruct=True, date_as_object=False
    )
    return frame


def plain(table: pa.Table) -> pa.Table:
    """Dictionaries become their values, decimals floats, instants UTC: what every expectation understands.

    Dictionaries are not kept as categories: those count levels that no row has, and the numbers would be others.
    """
    for position, field in enumerate(table.schema):
        kind = field.type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if pa.types.is_decimal(kind):
            kind = pa.float64()
        if pa.types.is_timestamp(kind):
            kind = pa.timestamp(kind.unit)  # in UTC
        if kind != field.type:
            table = table.set_column(position, field.name, table.column(position).cast(kind))
    return table
