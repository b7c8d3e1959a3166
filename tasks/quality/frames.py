"""A pandas frame that stands for the whole table while holding only some of its columns."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    import pandas as pd


def as_frame(table: pa.Table, columns: Sequence[str], rows: int) -> "pd.DataFrame":
    """Parameters: `table` with the columns that matter; `columns` all names, in order; `rows` of the whole table.

    Returns: (rows, len(columns)) frame; columns that are not in `table` are views of a single zero and cost no memory.
    """
    import numpy as np
    import pandas as pd

    held: pd.DataFrame = plain(table).to_pandas(split_blocks=True, self_destruct=True, date_as_object=False)
    others = [column for column in columns if column not in held]
    nothing = pd.DataFrame(np.broadcast_to(np.int8(0), (rows, len(others))), columns=others, copy=False)
    if not len(held.columns) or not others:
        return held if len(held.columns) else nothing
    return pd.concat([held, nothing], axis=1)[list(columns)]


def plain(table: pa.Table) -> pa.Table:
    """Dictionaries become their values, decimals floats, instants UTC: what every expectation understands."""
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
