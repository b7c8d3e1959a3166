"""Read a snapshot: batches, rows and parts, in bounded memory, as often as needed."""

import hashlib
import io
import json
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from onerun import storage
from onerun.config.recipe import Data, Split
from onerun.domain import splits
from onerun.domain.blocks import canonical
from onerun.domain.columns import kind, require
from onerun.domain.digest import Hashes, row_hashes
from onerun.domain.errors import DataError
from onerun.domain.references import Snapshot

BATCH_ROWS = 131_072
BUFFER_BYTES = 2**20
# row groups in S3, whose reads are joined to few requests (pre_buffer) and kept until then
GROUPS_AT_ONCE = 16
HASHES_FILE = "row-hashes.npy"  # written with the snapshot: (rows,) uint64


def parquet(snapshot: Snapshot, dictionary: Sequence[str] = ()) -> pq.ParquetFile:
    """Open the snapshot's file; the columns in `dictionary` are read as dictionaries."""
    if storage.is_s3(snapshot.uri):
        opened = storage.open_input(snapshot.uri, cache="none")
        return pq.ParquetFile(opened, read_dictionary=list(dictionary), pre_buffer=True)
    _require_local(snapshot)
    with storage.translated_errors(snapshot.uri):
        return pq.ParquetFile(
            snapshot.uri,
            read_dictionary=list(dictionary),
            buffer_size=BUFFER_BYTES,
            pre_buffer=False,
        )


def _require_local(snapshot: Snapshot) -> None:
    """Raise DataError when a retry runs on a machine that does not have the snapshot."""
    if not Path(snapshot.uri).exists():
        raise DataError(
            f"the snapshot {snapshot.uri} is not on this machine ({socket.gethostname()}); "
            "an earlier attempt kept it in a local folder of another one. Retry there, or start a "
            "new flow run; with ONERUN_STORE=s3://... (or a folder that all machines share) "
            "every worker finds it"
        )


def batches(
    snapshot: Snapshot, columns: Sequence[str], dictionary: Sequence[str] = ()
) -> Iterator[pa.RecordBatch]:
    """Yield the rows in the table's order, columns in the order of `columns`."""
    require(columns, snapshot.columns, "snapshot")
    with parquet(snapshot, dictionary) as file:
        groups = range(file.num_row_groups)
        for start in range(0, len(groups), GROUPS_AT_ONCE):
            chunk = list(groups[start : start + GROUPS_AT_ONCE])
            for batch in file.iter_batches(BATCH_ROWS, row_groups=chunk, columns=list(columns)):
                yield batch.select(list(columns))


def rows(
    snapshot: Snapshot, columns: Sequence[str], mask: npt.NDArray[np.bool_] | None
) -> pa.Table:
    """Return the rows where `mask` (rows,) is true (None: all) in the table's order, text as
    dictionaries.
    """
    texts = [name for name in columns if kind(snapshot.columns.get(name, "")) == "category"]
    found: list[pa.RecordBatch] = []
    start = 0
    for batch in batches(snapshot, columns, texts):
        stop = start + batch.num_rows
        if mask is None:
            found.append(batch)
        elif mask[start:stop].any():
            found.append(batch.filter(pa.array(mask[start:stop])))
        start = stop
    if not found:
        return _schema(snapshot, columns, texts).empty_table()
    return pa.Table.from_batches(found, schema=found[0].schema)


def _schema(snapshot: Snapshot, columns: Sequence[str], texts: Sequence[str]) -> pa.Schema:
    with parquet(snapshot) as file:
        types = {field.name: field.type for field in file.schema_arrow}
    types |= dict.fromkeys(texts, pa.dictionary(pa.int32(), pa.string()))
    return pa.schema([(name, types[name]) for name in columns])


def parts(snapshot: Snapshot, data: Data, split: Split) -> splits.Parts:
    """Return (rows,) TRAINING, VALIDATION or TEST for each row; made once, then read from a file
    beside the snapshot.

    Raises:
        DataError: A part is empty, or a column of the split is missing from the table.
    """
    request = {
        "data": [data.target, data.group, data.time],
        "split": split.model_dump(),
        "version": 1,
    }
    key = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:16]
    uri = _sidecar(snapshot, f"split-{key}.npy")
    if storage.exists(uri):
        return np.asarray(np.load(io.BytesIO(storage.read_bytes(uri))), dtype=np.uint8)
    parts = splits.require_filled(_split(snapshot, data, split), split)
    buffer = io.BytesIO()
    np.save(buffer, parts)
    storage.write_bytes_atomically(uri, buffer.getvalue())
    return parts


def _split(snapshot: Snapshot, data: Data, split: Split) -> splits.Parts:
    if split.by == "random":
        return splits.by_chance(snapshot.rows, split)
    if split.by == "stratified":
        return splits.by_strata(_strata(snapshot, data.target), split)
    if split.by == "group":
        assert data.group is not None  # the recipe checks it
        return splits.by_group(_codes(snapshot, data.group), split)
    if split.by == "time":
        assert data.time is not None
        _require_no_text(snapshot, data.time)
        return splits.by_time(_codes(snapshot, data.time), split)
    return splits.by_hash(_hashes(snapshot, split.columns), split)


def _require_no_text(snapshot: Snapshot, name: str) -> None:
    """Raise DataError for times as text, which sorts by its letters: 03/04/2021 comes before
    12/31/2020.
    """
    require([name], snapshot.columns, "data.time")
    if kind(snapshot.columns[name]) == "category":
        raise DataError(
            f"data.time: {name!r} is text, sorted by its letters; "
            f"declare data.types: {{{name}: date}}"
        )


def _hashes(snapshot: Snapshot, columns: Sequence[str]) -> Hashes:
    known = _sidecar(snapshot, HASHES_FILE)
    if not columns and storage.exists(known):
        return np.asarray(np.load(io.BytesIO(storage.read_bytes(known))), dtype=np.uint64)
    require(columns, snapshot.columns, "split.columns")
    names = [name for name in snapshot.columns if not columns or name in columns]
    texts = [name for name in names if kind(snapshot.columns[name]) == "category"]
    found = [np.empty(0, np.uint64)]
    for batch in batches(snapshot, names, texts):
        types = {field.name: field.type for field in batch.schema}
        schema = pa.schema(types | dict.fromkeys(texts, pa.string()))
        found.append(row_hashes(canonical(batch, schema)))
    return np.concatenate(found)


def _strata(snapshot: Snapshot, target: str) -> splits.Codes:
    if kind(snapshot.columns[target]) == "category":
        return _codes(snapshot, target)
    column = rows(snapshot, [target], None).column(0)
    return splits.number_strata(pc.cast(column, pa.float64()).to_numpy())


def _codes(snapshot: Snapshot, name: str) -> splits.Codes:
    """Return (rows,) codes in the order of the values; missing ones 0, the smallest."""
    require([name], snapshot.columns, "data")
    column = rows(snapshot, [name], None).column(0)
    if pa.types.is_dictionary(column.type):
        column = column.cast(pa.string())
    encoded = column.combine_chunks().dictionary_encode()
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    ranks = np.empty(len(order) + 1, np.int64)
    ranks[order] = np.arange(1, len(order) + 1)
    ranks[-1] = 0
    codes: splits.Codes = ranks[pc.fill_null(encoded.indices, len(order)).to_numpy()]
    return codes


def _sidecar(snapshot: Snapshot, name: str) -> str:
    return storage.join(snapshot.uri.rpartition("/")[0], name)
