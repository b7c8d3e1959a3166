"""The content digest of a table, and a 64-bit hash of each row: over names, types and values,
nothing else.

Neither depends on how the source was cut into batches, files or row groups, nor on its format: both
are made from canonical blocks (onerun/domain/blocks.py).
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from onerun.domain.blocks import Cells
from onerun.domain.text_columns import text_bytes, text_offsets

Hashes = npt.NDArray[np.uint64]
MULTIPLIER = np.uint64(
    0x9E3779B97F4A7C15
)  # 2**64 / golden ratio: spreads near values over all bits
MISSING = np.uint64(0xD6E8FEB86659FD93)
TEXT_BASE = 0x100000001B3


class ContentDigest:
    """SHA-256 over the schema and the blocks of a table, fed in order."""

    def __init__(self, schema: pa.Schema) -> None:
        """Start with the `schema`: names and stored types (onerun/domain/columns.py), text as
        string.
        """
        columns = [[field.name, str(field.type)] for field in schema]
        self._sha = hashlib.sha256(json.dumps(columns).encode())
        self.rows = 0

    def update(self, block: Sequence[Cells]) -> None:
        """Add a block of canonical columns; every block but the last has `block_rows` rows."""
        self.rows += len(block[0].values)
        for cells in block:
            array, values = cells
            if pa.types.is_dictionary(array.type):
                self._add(np.diff(text_offsets(array.dictionary)), text_bytes(array.dictionary))
            elif pa.types.is_string(array.type):
                self._add(text_bytes(array))
            elif array.null_count and _is_integer(cells):
                # the smallest integer may be a value
                self._add(np.packbits(np.asarray(array.is_valid())))
            self._add(values)
            self._sha.update(b"%d;" % array.null_count)

    def _add(self, *values: npt.NDArray[Any]) -> None:
        for several in values:
            self._sha.update(np.ascontiguousarray(several).view(np.uint8).data)

    def hexdigest(self) -> str:
        """Return 64 hexadecimal digits."""
        ending = self._sha.copy()
        ending.update(b"rows:%d" % self.rows)
        return ending.hexdigest()


def _is_integer(cells: Cells) -> bool:
    return cells.values.dtype.kind in "iu" and not pa.types.is_boolean(cells.array.type)


def row_hashes(block: Sequence[Cells]) -> Hashes:
    """Return (rows,) hashes of the rows of canonical columns; equal rows have equal hashes in any
    position.
    """
    hashes = np.zeros(len(block[0].values), np.uint64)
    shifted = np.empty_like(hashes)
    for cells in block:
        hashes ^= _cell_hashes(cells)
        hashes *= MULTIPLIER
        np.right_shift(hashes, np.uint64(32), out=shifted)
        hashes ^= shifted
    return hashes


def mix(hashes: Hashes, seed: int) -> Hashes:
    """Return (rows,) hashes that differ by seed, every bit depending on every bit (finalizer of
    SplitMix64).
    """
    h = (hashes + np.uint64(seed)) * MULTIPLIER
    h ^= h >> np.uint64(30)
    h *= np.uint64(0xBF58476D1CE4E5B9)
    h ^= h >> np.uint64(27)
    h *= np.uint64(0x94D049BB133111EB)
    h ^= h >> np.uint64(31)
    return h


def _cell_hashes(cells: Cells) -> Hashes:
    array, values = cells
    if pa.types.is_dictionary(array.type):
        return np.append(text_hashes(array.dictionary), MISSING).take(values)
    if pa.types.is_string(array.type):
        return np.where(values < 0, MISSING, text_hashes(array))
    if values.dtype.kind == "f":
        return values.astype(np.float64, copy=False).view(np.uint64)
    return values.astype(np.uint64)


def text_hashes(texts: pa.StringArray) -> Hashes:
    """Return (texts,) hashes: a polynomial of the bytes of each text modulo 2**64, mixed with its
    length.
    """
    offsets = text_offsets(texts).astype(np.int64)
    starts, lengths = offsets[:-1] - offsets[0], np.diff(offsets)
    powers = np.full(int(lengths.max(initial=0)) + 1, TEXT_BASE, np.uint64).cumprod()
    place = np.arange(offsets[-1] - offsets[0]) - np.repeat(starts, lengths)
    terms = powers.take(place)
    terms *= text_bytes(texts).astype(np.uint64) + np.uint64(1)
    sums = np.zeros(len(terms) + 1, np.uint64)
    np.cumsum(terms, out=sums[1:])
    return mix(
        sums.take(offsets[1:] - offsets[0]) - sums.take(starts) + lengths.astype(np.uint64), 0
    )
