"""Write a snapshot: one pass over the source in bounded memory, to a temporary name, then to its
digest's address.
"""

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
from onerun.data.source_table import TypedSource
from onerun.domain.blocks import Cells, as_stored, block_rows, canonical, rebatch
from onerun.domain.digest import ContentDigest, Hashes, row_hashes
from onerun.domain.errors import StoreUnreachable
from onerun.domain.references import Snapshot

COMPRESSION = "lz4"  # measured: as fast as none to write and to read; zstd takes half as long again
TABLE_FILE = "table.parquet"
PARTIAL = ".partial-"
NOTE = "snapshot.json"  # beside a table that waits for its upload
STALE_SECONDS = 6 * 3600


@dataclass(frozen=True)
class PendingUpload:
    """A finished table that could not be uploaded: where it lies, and the key of what it was made
    from.
    """

    folder: Path
    key: str


def write_snapshot(
    table: TypedSource, store: str, source: str, pending: PendingUpload | None = None
) -> Snapshot:
    """Return the snapshot of the table. Whatever fails, nothing half-written has the snapshot's
    name.

    Raises:
        StoreUnreachable: The store does not answer; with `pending` the table is kept there.
    """
    store = store if storage.is_s3(store) else str(Path(store).absolute())
    with storage.translated_errors(store), _partial_folder(store) as folder:
        digest = _write_table(table, folder)
        snapshot = Snapshot(
            uri=storage.join(store, "snapshots", digest.hexdigest(), TABLE_FILE),
            digest=digest.hexdigest(),
            rows=digest.rows,
            columns={field.name: str(field.type) for field in table.schema},
            source=source,
            dropped_rows=table.dropped,
        )
        try:
            _upload(folder, snapshot)
        except StoreUnreachable:
            if pending:
                _keep(folder, snapshot, pending)
            raise
        return snapshot


def upload_pending(pending: PendingUpload) -> Snapshot | None:
    """Upload the table that waits. Returns its snapshot, or None when no table of the same key
    waits.
    """
    snapshot = checkpoint.load(pending.folder / NOTE, pending.key, Snapshot)
    if snapshot is not None:
        _upload(pending.folder, snapshot)
        shutil.rmtree(pending.folder, ignore_errors=True)
    return snapshot


def _keep(folder: Path, snapshot: Snapshot, pending: PendingUpload) -> None:
    shutil.rmtree(pending.folder, ignore_errors=True)
    pending.folder.mkdir(parents=True)
    for name in (HASHES_FILE, TABLE_FILE):
        shutil.move(folder / name, pending.folder / name)
    checkpoint.save(pending.folder / NOTE, pending.key, snapshot)


def _upload(folder: Path, snapshot: Snapshot) -> None:
    if not storage.exists(snapshot.uri):
        _publish(folder, snapshot.uri.rpartition("/")[0])
    elif not storage.is_s3(snapshot.uri):
        os.utime(snapshot.uri)  # `onerun maintain` counts from here how long it is unused


def _write_table(table: TypedSource, folder: Path) -> ContentDigest:
    """Write table and row hashes. Returns the digest of the content.

    One block is hashed while the block before it is written: both work without the GIL.
    """
    digest = ContentDigest(table.schema)
    hashes: list[Hashes] = []
    with _ParquetWriter(folder / TABLE_FILE, table.schema) as file:
        for raw in rebatch(table.batches(), block_rows(len(table.schema))):
            block = canonical(raw, table.schema)
            file.write(block)
            digest.update(block)
            hashes.append(row_hashes(block))
            progress.report("rows read", digest.rows, table.expected_rows)
    table.check()
    np.save(folder / HASHES_FILE, np.concatenate(hashes))
    pa.default_memory_pool().release_unused()
    return digest


class _ParquetWriter(ExitStack):
    """A Parquet file written by its own thread, one block behind.

    Numbers are stored plain: looking for repeated ones costs more than it saves.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        super().__init__()
        self._path, self._names = path, schema.names
        self._thread = self.enter_context(ThreadPoolExecutor(1))
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
            as_stored(cells, field.type) for cells, field in zip(block, self._stored, strict=True)
        ]
        batch = pa.RecordBatch.from_arrays(columns, schema=self._stored)
        self._writing = self._thread.submit(self._writer.write_batch, batch)

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
    """Yield a new folder, on the store's own disk when it has one; it is removed at the end."""
    root = Path(gettempdir())
    if not storage.is_s3(store):
        root = Path(storage.join(store, "snapshots"))
    root.mkdir(parents=True, exist_ok=True)
    _sweep(root)
    folder = root / f"{PARTIAL}{uuid.uuid4().hex}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # already moved, or not worth a second error


def _sweep(root: Path) -> None:
    """Remove folders of killed ingests: those that were not written to within the last hours."""
    for folder in root.glob(f"{PARTIAL}*"):
        with suppress(FileNotFoundError):  # another ingest, running beside this one, has finished
            written = max(path.stat().st_mtime for path in (folder, *folder.glob("*")))
            if time.time() - written > STALE_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def _publish(folder: Path, root: str) -> None:
    """Move the table last: where it is, everything is. Writers of the same content may race; they
    write the same.
    """
    for name in (HASHES_FILE, TABLE_FILE):
        if storage.is_s3(root):
            storage.put_file(folder / name, storage.join(root, name))
        else:
            Path(root).mkdir(parents=True, exist_ok=True)
            (folder / name).replace(Path(root, name))
