"""Ingest: from any source to an immutable Parquet snapshot under its content digest, logged as the
run's input.
"""

from pathlib import Path

from onerun import checkpoint
from onerun.config.addresses import redact
from onerun.config.recipe import Data
from onerun.data.snapshot_writer import PendingUpload, upload_pending, write_snapshot
from onerun.data.source_table import TypedSource, TypesChanged
from onerun.data.sources.source import open_source
from onerun.data.sources.web import downloaded
from onerun.domain import names
from onerun.domain.references import Snapshot
from onerun.tracking import runs


def ingest(run_id: str, data: Data, store: str, work: Path | None = None) -> Snapshot:
    """Return the snapshot below `store`, written or found there, and log it to the run.

    Safe to repeat: the same content has the same address. A table that could not be uploaded to the
    store stays in `work` and is uploaded by the next call.

    Raises:
        Mistakes: There is no such source, or it cannot be reached.
        DataError: It is not a table to learn from.
    """
    snapshot = store_snapshot(data, store, work / "snapshot" if work else None)
    runs.log_snapshot(run_id, snapshot)
    runs.set_tags(run_id, {names.TAG_SNAPSHOT_DIGEST: snapshot.digest})
    runs.log_text(run_id, snapshot.model_dump_json(indent=2), names.ARTIFACT_SNAPSHOT)
    return snapshot


def store_snapshot(data: Data, store: str, pending_folder: Path | None = None) -> Snapshot:
    """Return the snapshot of the source, without a run.

    Args:
        data: The source and how to read it.
        store: Path or s3:// address below which snapshots lie.
        pending_folder: Where a table waits for a store that does not answer.
    """
    pending = None
    if pending_folder is not None:
        key = checkpoint.key(data.model_dump_json(by_alias=True), store)
        pending = PendingUpload(pending_folder, key)
        uploaded = upload_pending(pending)
        if uploaded is not None:
            return uploaded
    source = redact(data.source)
    with downloaded(data) as local:
        try:
            table = TypedSource(open_source(local), local)
            return write_snapshot(table, store, source, pending)
        except TypesChanged:
            table = TypedSource(open_source(local, careful=True), local)
            return write_snapshot(table, store, source, pending)
