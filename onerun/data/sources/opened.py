"""What every source opens as: a schema and its batches, read once, from the first row to the last."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pyarrow as pa


class TypesChanged(Exception):
    """A later row does not fit the types that the first rows had: open the source again, carefully."""


@dataclass(frozen=True)
class Opened:
    """A table that can be read once."""

    schema: pa.Schema  # of the batches
    batches: Iterator[pa.RecordBatch]
    rows: int | None = None  # where it is known before reading
    texts: Mapping[str, pa.DataType] = field(
        default_factory=dict
    )  # text columns that are values of this type
