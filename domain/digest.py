"""The content digest of a table, and a 64-bit hash of each row: over names, types and values, nothing else.

Neither depends on how the source was cut into batches, files or row groups, nor on its format. Both work on blocks of
`block_rows` rows, so that memory stays bounded, and on canonical columns: text as `dictionary<int32, string>` with the
used values sorted, missing values as nulls.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Hashes = npt.NDArray[np.uint64]
LARGEST_BLOCK = 131_072
CELLS_PER_BLOCK = 4_194_304
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio: spreads near values over all bits
MISSING = np.uint64(0xD6E8FEB86659FD93)
TEXT_BASE = 0x100000001B3


def block_rows(columns: int) -> int:
    """Returns: rows of a block, a multiple of 8: fewer for wide tables, so that a block stays about 32 MB."""
    return max(1024, min(LARGEST_BLOCK, CELLS_PER_BLOCK // max(columns, 1)) // 8 * 8)


class ContentDigest:
    """SHA-256 over the schema and the blocks of a table, fed in order."""

    def __init__(self, schema: pa.Schema) -> None:
        """`schema`: names and kept types (domain/columns.py), text as string."""
        self._sha = hashlib.sha256(json.dumps([[field.name, str(field.type)] for field in schema]).encode())
        self.rows = 0

    def update(self, block: pa.RecordBatch) -> None:
        """`block`: canonical columns; every block but the last has `block_rows` rows."""
        self.rows += block.num_rows
        for column in block.columns:
            if column.null_count:
                self._sha.update(_bytes(np.packbits(valid(column))))
            if pa.types.is_dictionary(column.type):
                self._add_text(column)
            else:
                self._sha.update(_bytes(raw_values(column)))
            self._sha.update(b"%d;" % column.null_count)

    def _add_text(self, column: pa.DictionaryArray) -> None:
        lengths = pc.binary_length(column.dictionary).to_numpy(zero_copy_only=False).astype(np.int32)
        self._sha.update(_bytes(lengths))
        self._sha.update(_bytes(text_bytes(column.dictionary)))
        self._sha.update(_bytes(raw_values(column.indices)))

    def hexdigest(self) -> str:
        """Returns: 64 hexadecimal digits."""
        ending = self._sha.copy()
        ending.update(b"rows:%d" % self.rows)
        return ending.hexdigest()


def _bytes(values: npt.NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(values).view(np.uint8).data


def valid(column: pa.Array) -> npt.NDArray[np.bool_]:
    """Returns: (rows,) True where there is a value."""
    return np.asarray(pc.is_valid(column).to_numpy(zero_copy_only=False), dtype=np.bool_)


def raw_values(column: pa.Array) -> npt.NDArray[Any]:
    """Returns: (rows,) the fixed-width values, missing ones as zero; dates as integers."""
    width = {pa.date32(): pa.int32()}.get(column.type, pa.int64() if pa.types.is_timestamp(column.type) else None)
    plain = column.view(width) if width is not None else column
    filled = pc.fill_null(plain, pa.scalar(0, plain.type) if not pa.types.is_boolean(plain.type) else False)
    values: npt.NDArray[Any] = filled.to_numpy(zero_copy_only=False)
    return values


def text_bytes(values: pa.StringArray) -> npt.NDArray[np.uint8]:
    """Returns: (bytes,) the UTF-8 bytes of all values in order, without gaps."""
    offsets, data = text_offsets(values), values.buffers()[2]
    if data is None:
        return np.empty(0, np.uint8)
    return np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]]


def text_offsets(values: pa.StringArray) -> npt.NDArray[np.int32]:
    """Returns: (values + 1,) where each value begins in its buffer."""
    buffer = values.buffers()[1]
    if buffer is None:
        return np.zeros(1, np.int32)
    return np.frombuffer(buffer, np.int32)[values.offset : values.offset + len(values) + 1]


def row_hashes(columns: Sequence[pa.Array]) -> Hashes:
    """Returns: (rows,) hashes; equal rows have equal ones wherever they stand. `columns`: canonical."""
    hashes = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        hashes ^= _words(column)
        hashes *= MULTIPLIER
        hashes ^= hashes >> np.uint64(32)
    return hashes


def mixed(hashes: Hashes, seed: int) -> Hashes:
    """Returns: (rows,) hashes that differ by seed, every bit depending on every bit (finalizer of SplitMix64)."""
    h = (hashes + np.uint64(seed)) * MULTIPLIER
    h ^= h >> np.uint64(30)
    h *= np.uint64(0xBF58476D1CE4E5B9)
    h ^= h >> np.uint64(27)
    h *= np.uint64(0x94D049BB133111EB)
    h ^= h >> np.uint64(31)
    return h


def _words(column: pa.Array) -> Hashes:
    if pa.types.is_dictionary(column.type):
        codes = raw_values(column.indices)
        known = text_hashes(column.dictionary)
        words = known[codes] if len(known) else np.zeros(len(column), np.uint64)
    else:
        values = raw_values(column)
        wide = values.astype(np.float64).view(np.uint64) if values.dtype.kind == "f" else values.astype(np.uint64)
        words = wide
    return np.where(valid(column), words, MISSING) if column.null_count else words


def text_hashes(values: pa.StringArray) -> Hashes:
    """Returns: (values,) a polynomial of the bytes of each value modulo 2**64, mixed with its length."""
    if not len(values):
        return np.empty(0, np.uint64)
    offsets = text_offsets(values).astype(np.int64)
    starts, lengths = offsets[:-1] - offsets[0], np.diff(offsets)
    data = text_bytes(values).astype(np.uint64)
    place = np.arange(len(data)) - np.repeat(starts, lengths)
    powers = np.full(int(lengths.max(initial=0)) + 1, TEXT_BASE, np.uint64).cumprod()
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum((data + np.uint64(1)) * powers[place])])
    return mixed(sums[starts + lengths] - sums[starts] + lengths.astype(np.uint64), 0)
