"""Ingest: from any source to an immutable Parquet snapshot under its content digest, logged as the run's input."""

from pathlib import Path

from onerun import checkpoint
from onerun.config.addresses import redact
from onerun.config.recipe import Data
from onerun.data.snapshot_writer import Waiting, handed_over_later, written
from onerun.data.sources import reading
from onerun.data.sources.opened import TypesChanged
from onerun.data.sources.web import fetched
from onerun.data.typed_source import Wanted
from onerun.domain import names
from onerun.domain.references import Snapshot
from onerun.tracking import runs


def ingest(run_id: str, data: Data, store: str, work: Path | None = None) -> Snapshot:
    """Returns: the snapshot below `store`, made or found there. Safe to repeat: the same content has the same place.

    A table that could not be handed over to the store stays in `work`, and is handed over when called again.
    Raises: Mistakes when there is no such source or no way to it, DataError when it is no table to learn from.
    """
    snapshot = stored(data, store, work / "snapshot" if work else None)
    runs.log_snapshot(run_id, snapshot)
    runs.set_tags(run_id, {names.TAG_SNAPSHOT_DIGEST: snapshot.digest})
    runs.log_text(run_id, snapshot.model_dump_json(indent=2), names.ARTIFACT_SNAPSHOT)
    return snapshot


def stored(data: Data, store: str, waiting: Path | None = None) -> Snapshot:
    """Returns: the snapshot of the source, without a run. `waiting`: where a table waits for a store that is silent."""
    later = (
        Waiting(waiting, checkpoint.key_of(data.model_dump_json(by_alias=True), store))
        if waiting
        else None
    )
    found = handed_over_later(later) if later else None
    if found is not None:
        return found
    with fetched(data) as here:
        try:
            return written(Wanted(reading.opened(here), here), store, redact(data.source), later)
        except TypesChanged:
            return written(
                Wanted(reading.opened(here, careful=True), here), store, redact(data.source), later
            )
