"""Tables to measure with, always the same: 15 numbers, 5 categories, 2 % missing, a target that depends on both."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

NUMBERS = 15
LEVELS = (3, 12, 50, 200, 1000)  # of the five categories
MISSING = 0.02
CHUNK = 250_000  # rows; memory is bounded by it


def table_of(rows: int, folder: Path) -> Path:
    """Returns: the Parquet table of that many rows in `folder`, made when it is not there yet."""
    path = folder / f"table-{rows}.parquet"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        with pq.ParquetWriter(unfinished, _schema(), compression="snappy") as writer:
            for start in range(0, rows, CHUNK):
                writer.write_batch(_chunk(start, min(CHUNK, rows - start)))
        unfinished.replace(path)
    return path


def _schema() -> pa.Schema:
    numbers = [pa.field(f"number_{i}", pa.float64()) for i in range(NUMBERS)]
    categories = [
        pa.field(f"category_{i}", pa.dictionary(pa.int32(), pa.string()))
        for i in range(len(LEVELS))
    ]
    return pa.schema([*numbers, *categories, pa.field("target", pa.float64())])


def _chunk(start: int, rows: int) -> pa.RecordBatch:
    """Rows `start` to `start + rows`: a stream of random numbers of their own."""
    rng = np.random.default_rng([20_24, start])
    numbers = rng.normal(size=(NUMBERS, rows))
    codes = [rng.integers(0, levels, rows) for levels in LEVELS]
    target = (
        3 * numbers[0] + numbers[1] * numbers[2] + np.sin(3 * numbers[3]) + 2 * np.abs(numbers[4])
    )
    for code, levels in zip(codes, LEVELS, strict=True):
        target += np.random.default_rng(levels).normal(size=levels)[
            code
        ]  # every chunk's levels mean the same
    target += rng.normal(size=rows)
    columns = [pa.array(column, mask=rng.random(rows) < MISSING) for column in numbers]
    columns += [
        _texts(code, levels, rng.random(rows) < MISSING)
        for code, levels in zip(codes, LEVELS, strict=True)
    ]
    return pa.record_batch([*columns, pa.array(target)], schema=_schema())


def _texts(codes: np.ndarray, levels: int, missing: np.ndarray) -> pa.DictionaryArray:
    names = pa.array([f"level {level}" for level in range(levels)])
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32), mask=missing), names)
