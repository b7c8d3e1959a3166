"""Ingest: from any source to an immutable Parquet snapshot under its content digest, logged as the run's input."""

from pathlib import Path

from onerun import checkpoint
from onerun.config.addresses import redact
from onerun.config.recipe import Data
from onerun.data.snapshot_writer import PendingUpload, upload_pending, write_snapshot
from onerun.data.source_table import TypedSource, TypesChanged
from onerun.data.sources import source
from onerun.data.sources.web import downloaded
from onerun.domain import names
from onerun.domain.references import Snapshot
from onerun.tracking import runs


def ingest(run_id: str, data: Data, store: str, work: Path | None = None) -> Snapshot:
    """Returns: the snapshot below `store`, made or found there. Safe to repeat: the same content has the same place.

    A table that could not be handed over to the store stays in `work`, and is handed over when called again.
    Raises: Mistakes when there is no such source or no way to it, DataError when it is no table to learn from.
    """
    snapshot = store_snapshot(data, store, work / "snapshot" if work else None)
    runs.log_snapshot(run_id, snapshot)
    runs.set_tags(run_id, {names.TAG_SNAPSHOT_DIGEST: snapshot.digest})
    runs.log_text(run_id, snapshot.model_dump_json(indent=2), names.ARTIFACT_SNAPSHOT)
    return snapshot


def store_snapshot(data: Data, store: str, waiting: Path | None = None) -> Snapshot:
    """Returns: the snapshot of the source, without a run. `waiting`: where a table waits for a store that is silent."""
    later = (
        PendingUpload(waiting, checkpoint.key(data.model_dump_json(by_alias=True), store))
        if waiting
        else None
    )
    found = upload_pending(later) if later else None
    if found is not None:
        return found
    with downloaded(data) as here:
        try:
            return write_snapshot(
                TypedSource(source.open_source(here), here), store, redact(data.source), later
            )
        except TypesChanged:
            return write_snapshot(
                TypedSource(source.open_source(here, careful=True), here),
                store,
                redact(data.source),
                later,
            )
