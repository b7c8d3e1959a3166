"""Writing a snapshot: one pass over the source in bounded memory, to a temporary name, then to its digest's place."""

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from onerun import checkpoint, progress, storage
from onerun.data.snapshots import HASHES_FILE
from onerun.data.typed_source import Wanted
from onerun.domain.blocks import Cells, as_written, block_rows, canonical, refilled
from onerun.domain.digest import ContentDigest, Hashes, row_hashes
from onerun.domain.errors import StoreUnreachable
from onerun.domain.references import Snapshot

COMPRESSION = "lz4"  # measured: as fast as none to write and to read; zstd takes half as long again
TABLE_FILE = "table.parquet"
PARTIAL = ".partial-"
NOTE = "snapshot.json"  # beside a table that waits
STALE_SECONDS = 6 * 3600


@dataclass(frozen=True)
class Waiting:
    """Where a finished table waits for its store, and what it was made from."""

    folder: Path
    key: str


def written(wanted: Wanted, store: str, source: str, later: Waiting | None = None) -> Snapshot:
    """Returns: the snapshot of the wanted rows. Whatever fails, nothing half-written has the snapshot's name.

    Raises: StoreUnreachable; with `later` the table is kept there by then.
    """
    store = store if storage.is_s3(store) else str(Path(store).absolute())
    with storage.explained(store), _partial_folder(store) as folder:
        digest = _table_written(wanted, folder)
        snapshot = Snapshot(
            uri=storage.join(store, "snapshots", digest.hexdigest(), TABLE_FILE),
            digest=digest.hexdigest(),
            rows=digest.rows,
            columns={field.name: str(field.type) for field in wanted.schema},
            source=source,
            dropped_rows=wanted.dropped,
        )
        try:
            _handed_over(folder, snapshot)
        except StoreUnreachable:
            if later:
                _kept(folder, snapshot, later)
            raise
        return snapshot


def handed_over_later(later: Waiting) -> Snapshot | None:
    """Returns: the snapshot whose table waited, now in its place; None when none of the same making waits."""
    snapshot = checkpoint.kept(later.folder / NOTE, later.key, Snapshot)
    if snapshot is not None:
        _handed_over(later.folder, snapshot)
        shutil.rmtree(later.folder, ignore_errors=True)
    return snapshot


def _kept(folder: Path, snapshot: Snapshot, later: Waiting) -> None:
    shutil.rmtree(later.folder, ignore_errors=True)
    later.folder.mkdir(parents=True)
    for name in (HASHES_FILE, TABLE_FILE):
        shutil.move(folder / name, later.folder / name)
    checkpoint.keep(later.folder / NOTE, later.key, snapshot)


def _handed_over(folder: Path, snapshot: Snapshot) -> None:
    if not storage.exists(snapshot.uri):
        _moved(folder, snapshot.uri.rpartition("/")[0])
    elif not storage.is_s3(snapshot.uri):
        os.utime(snapshot.uri)  # `onerun maintain` counts from here how long it is unused


def _table_written(wanted: Wanted, folder: Path) -> ContentDigest:
    """Digest and hashes of one block are made while the block before it is written: both work without the GIL."""
    digest = ContentDigest(wanted.schema)
    hashes: list[Hashes] = []
    with _Table(folder / TABLE_FILE, wanted.schema) as table:
        for raw in refilled(wanted.batches(), block_rows(len(wanted.schema))):
            block = canonical(raw, wanted.schema)
            table.write(block)
            digest.update(block)
            hashes.append(row_hashes(block))
            progress.report("rows read", digest.rows, wanted.expected_rows)
    wanted.check()
    np.save(folder / HASHES_FILE, np.concatenate(hashes))
    pa.default_memory_pool().release_unused()
    return digest


class _Table(ExitStack):
    """A Parquet file written by a thread of its own, one block behind. Numbers are stored plain: looking for repeated
    ones costs more than it saves.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        super().__init__()
        self._path, self._names = path, schema.names
        self._pen = self.enter_context(ThreadPoolExecutor(1))
        self._stored: pa.Schema | None = None
        self._writing: Future[None] | None = None

    def write(self, block: list[Cells]) -> None:
        if self._stored is None:
            types = [cells.array.type for cells in block]
            self._stored = pa.schema(list(zip(self._names, types, strict=True)))
            self._writer = self.enter_context(_writer(self._path, self._stored))
            self.callback(self._wait)
        self._wait()
        columns = [
            as_written(cells, field.type) for cells, field in zip(block, self._stored, strict=True)
        ]
        batch = pa.RecordBatch.from_arrays(columns, schema=self._stored)
        self._writing = self._pen.submit(self._writer.write_batch, batch)

    def _wait(self) -> None:
        if self._writing is not None:
            self._writing.result()


def _writer(path: Path, stored: pa.Schema) -> pq.ParquetWriter:
    texts = [field.name for field in stored if pa.types.is_dictionary(field.type)]
    return pq.ParquetWriter(
        path,
        stored,
        compression=COMPRESSION,
        use_dictionary=texts,
        write_statistics=False,
        store_schema=False,
    )


@contextmanager
def _partial_folder(store: str) -> Iterator[Path]:
    """Gives: a new folder, on the store's own disk when it has one; gone at the end."""
    root = Path(gettempdir() if storage.is_s3(store) else storage.join(store, "snapshots"))
    root.mkdir(parents=True, exist_ok=True)
    _sweep(root)
    folder = root / f"{PARTIAL}{uuid.uuid4().hex}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # already moved, or not worth a second error


def _sweep(root: Path) -> None:
    """Removes what a killed ingest left: nothing that was written to within the last hours."""
    for folder in root.glob(f"{PARTIAL}*"):
        with suppress(
            FileNotFoundError
        ):  # another ingest, at work beside this one, has just finished
            written = max(path.stat().st_mtime for path in (folder, *folder.glob("*")))
            if time.time() - written > STALE_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def _moved(folder: Path, root: str) -> None:
    """The table comes last: where it is, everything is. Writers of the same content may race; they write the same."""
    for name in (HASHES_FILE, TABLE_FILE):
        if storage.is_s3(root):
            storage.put_file(folder / name, storage.join(root, name))
        else:
            Path(root).mkdir(parents=True, exist_ok=True)
            (folder / name).replace(Path(root, name))
