"""Restore records of an archive into the store that the environment names."""

import json
import tempfile
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from onerun.archive import artifacts, repository
from onerun.archive.comparison import RecordComparison, Verdict, fill
from onerun.archive.container import members
from onerun.archive.index import Index
from onerun.archive.record_io import writer
from onerun.archive.record_io.database import Databases, kind_of, uris
from onerun.archive.record_io.stores import target
from onerun.archive.records import Rewriting, records
from onerun.archive.verify import Verified, streamed, verify
from onerun.config.mistakes import Mistake, Mistakes
from onerun.domain.archives import Content, Restored, Selection, split_member
from onerun.domain.errors import OnerunError
from onerun.store.artifact_paths import resolve
from onerun.store.sql.engine import BACKENDS, open_database


def restore(
    uri: str,
    selection: Selection | None = None,
    apply: bool = False,
    artifacts: str | None = None,
    overwrite: bool = False,
    store: str | None = None,
) -> Restored:
    """Bring back what the store lacks; list, and leave, what differs.

    Args:
        uri: the archive.
        selection: parts of it; all of it when None.
        apply: write; otherwise only say what would be written.
        artifacts: root below which the files go, when not to their original places.
        overwrite: make what differs as it is in the archive.
        store: a tracking URI, instead of the environment's.

    Raises: ArchiveDamaged before anything is written; Mistakes; MaintenanceUnderWay.
    """
    with tempfile.TemporaryDirectory(prefix="onerun-restore-") as name:
        work = Path(name)
        verified = verify(uri, work)
        if verified.content != Content.RECORDS:
            advice = f"holds folders: let its name end with {repository.FOLDERS}, and give --to"
            raise Mistakes([Mistake(uri, advice)])
        with (
            target(apply, store) as databases,
            _locked(uris(store)[0], apply),
            _indexed(verified, databases, artifacts) as (index, rewriting),
        ):
            index.want(selection, uri)
            comparison = _compared(verified, index, databases, rewriting, overwrite)
            if apply and databases:
                writable = {Verdict.NEW, Verdict.REPLACE}
                if overwrite:
                    writable.add(Verdict.DIFFERS)
                _write_files(verified, writable - {Verdict.REPLACE}, work)
                _write_records(verified, index, databases, rewriting, writable)
                _require_whole(
                    _compared(verified, index, databases, rewriting, overwrite), overwrite
                )
            return _restored(verified, comparison, apply, index)


@contextmanager
def _locked(uri: str, apply: bool) -> Iterator[None]:
    """Keep clean-ups out: one that finishes a killed one would remove files just restored.

    Raises: MaintenanceUnderWay.
    """
    if not apply or kind_of(uri) not in BACKENDS:  # the others are not cleaned up here
        yield
        return
    with closing(open_database(uri)) as database, database.exclusive_lock():
        yield


@contextmanager
def _indexed(
    verified: Verified, databases: Databases | None, root: str | None
) -> Iterator[tuple[Index, Rewriting]]:
    rewriting = Rewriting(None if root is None else _root(root))
    index = Index(verified.folder)
    try:
        _renumber(verified, databases, rewriting)
        fill(index, verified.records, rewriting)
        yield index, rewriting
    finally:
        index.close()


def _root(root: str) -> str:
    return root.rstrip("/") if "://" in root else Path(root).expanduser().absolute().as_uri()


def _renumber(verified: Verified, databases: Databases | None, rewriting: Rewriting) -> None:
    """Give experiments of file stores, with ids of 18 digits, ones that PostgreSQL can hold."""
    if databases is None:
        return
    for record in records(verified.records, Rewriting()):
        if record.kind != "experiment":
            return
        if writer.needs_new_id(databases, record.id):
            new = writer.id_in_store(databases, record.id, rewriting.experiments.values())
            rewriting.experiments[record.id] = new


def _compared(
    verified: Verified,
    index: Index,
    databases: Databases | None,
    rewriting: Rewriting,
    overwrite: bool,
) -> RecordComparison:
    comparison = RecordComparison(index, databases, rewriting, overwrite)
    comparison.decide(verified.records, verified.manifest)
    comparison.decide_files(verified.manifest, verified.folder / "decisions")
    return comparison


def _write_files(verified: Verified, writable: Collection[str], work: Path) -> None:
    """Write the files, before the records: a record that is there has its files."""
    with (
        streamed(verified.uri) as file,
        verified.manifest.open(encoding="utf-8") as manifest,
        (verified.folder / "decisions").open(encoding="utf-8") as decisions,
    ):
        for member in members(file):
            decision = decisions.readline()
            if not decision:
                return
            verdict, place = json.loads(decision)
            said = json.loads(manifest.readline())
            if verdict in writable and split_member(member.name):
                artifacts.write(place, member.blocks(), said["sha256"], work)


def _write_records(
    verified: Verified,
    index: Index,
    databases: Databases,
    rewriting: Rewriting,
    writable: Collection[str],
) -> None:
    with writer.open_writer(databases) as records_out:
        for record in records(verified.records, rewriting):
            verdict = index.verdict(record.kind, record.id)
            if verdict in writable and index.is_wanted(record.kind, record.id):
                records_out.write(
                    record.kind, record.id, record.rows, replace=verdict != Verdict.NEW
                )
    writer.finish(databases)


def _require_whole(after: RecordComparison, overwrite: bool) -> None:
    """Raise OnerunError when something is still missing after the restore."""
    left = {
        kind: counts[Verdict.NEW]
        for kind, counts in after.differences.counts.items()
        if counts.get(Verdict.NEW)
    }
    if overwrite:
        for kind, counts in after.differences.counts.items():
            if differ := counts.get(Verdict.DIFFERS, 0) - after.differences.left_out[kind]:
                left[kind] = differ
    if left:
        text = ", ".join(f"{count} {kind}" for kind, count in left.items())
        raise OnerunError(f"not all of it is in the store after the restore ({text}): run it again")


def _restored(
    verified: Verified, comparison: RecordComparison, applied: bool, index: Index
) -> Restored:
    found = comparison.differences
    roots = sorted({resolve(home) for home in index.homes_wanted() if home})
    notes = [
        f"experiment {old} has number {new} here" for old, new in comparison.renumbered().items()
    ]
    return Restored(
        verified.uri,
        applied,
        found.counts,
        found.bytes,
        tuple(found.messages),
        tuple(roots),
        tuple(notes),
    )
