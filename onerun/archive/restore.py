"""Restoring: what an archive holds, back into the store that the environment names."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from onerun.archive import artifacts
from onerun.archive.container import members
from onerun.archive.deciding import DIFFERS, NEW, REPLACE, Deciding, fill
from onerun.archive.index import Index
from onerun.archive.record_io import writing
from onerun.archive.record_io.database import Databases, kind_of, uris
from onerun.archive.record_io.target import target
from onerun.archive.records import Rewriting, records
from onerun.archive.verify import Verified, streamed, verify
from onerun.domain.archives import Restored, Selection, split_member
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
    """Brings back what the store lacks; says, and leaves, what differs. Without `apply` only says.

    Args:
        artifacts: root below which the files go, when not to their original places.
        overwrite: make what differs as it is in the archive.
        store: a tracking URI, instead of the environment's.

    Raises: ArchiveDamaged before anything is written; MaintenanceUnderWay.
    """
    with tempfile.TemporaryDirectory(prefix="onerun-restore-") as name:
        work = Path(name)
        verified = verify(uri, work)
        with (
            target(apply, store) as databases,
            _alone(uris(store)[0], apply),
            _indexed(verified, databases, artifacts) as (index, rewriting),
        ):
            index.want(selection, uri)
            deciding = _decided(verified, index, databases, rewriting, overwrite)
            if apply and databases:
                writable = {NEW, REPLACE, DIFFERS} if overwrite else {NEW, REPLACE}
                _write_files(verified, writable - {REPLACE}, work)
                _write_records(verified, index, databases, rewriting, writable)
                _require_whole(
                    _decided(verified, index, databases, rewriting, overwrite), overwrite
                )
            return _restored(verified, deciding, apply, index)


@contextmanager
def _alone(uri: str, apply: bool) -> Iterator[None]:
    """A clean-up that finishes what a killed one began would remove files that are just restored, or found the same.

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
    """An experiment of a file store has an id of 18 digits, which PostgreSQL's column does not hold."""
    if databases is None:
        return
    for record in records(verified.records, Rewriting()):
        if record.kind != "experiment":
            return
        if writing.needs_new_id(databases, record.id):
            new = writing.id_in_store(databases, record.id, rewriting.experiments.values())
            rewriting.experiments[record.id] = new


def _decided(
    verified: Verified,
    index: Index,
    databases: Databases | None,
    rewriting: Rewriting,
    overwrite: bool,
) -> Deciding:
    deciding = Deciding(index, databases, rewriting, overwrite)
    deciding.decide(verified.records, verified.manifest)
    deciding.decide_files(verified.manifest, verified.folder / "decisions")
    return deciding


def _write_files(verified: Verified, writable: set[str], work: Path) -> None:
    """Files come first: a record that is there has its files."""
    with (
        streamed(verified.uri) as file,
        verified.manifest.open(encoding="utf-8") as manifest,
        (verified.folder / "decisions").open(encoding="utf-8") as decisions,
    ):
        for member in members(file):  # type: ignore[arg-type]
            decision = decisions.readline()
            if not decision:
                return
            verdict, place = json.loads(decision)
            said = json.loads(manifest.readline())
            if verdict in writable and split_member(member.name):
                artifacts.write(place, member.blocks(), said["sha256"], work)


def _write_records(
    verified: Verified, index: Index, databases: Databases, rewriting: Rewriting, writable: set[str]
) -> None:
    with writing.writing(databases) as writer:
        for record in records(verified.records, rewriting):
            verdict = index.verdict(record.kind, record.id)
            if verdict in writable and index.is_wanted(record.kind, record.id):
                writer.write(record.kind, record.id, record.rows, replace=verdict != NEW)
    writing.finish(databases)


def _require_whole(after: Deciding, overwrite: bool) -> None:
    """What was written is looked at again. Raises: OnerunError when something is still missing."""
    left = {kind: counts[NEW] for kind, counts in after.findings.counts.items() if counts.get(NEW)}
    if overwrite:
        for kind, counts in after.findings.counts.items():
            if differ := counts.get(DIFFERS, 0) - after.findings.left_out[kind]:
                left[kind] = differ
    if left:
        text = ", ".join(f"{count} {kind}" for kind, count in left.items())
        raise OnerunError(f"not all of it is in the store after the restore ({text}): run it again")


def _restored(verified: Verified, deciding: Deciding, applied: bool, index: Index) -> Restored:
    findings = deciding.findings
    roots = sorted({resolve(home) for home in index.homes_wanted() if home})
    notes = [
        f"experiment {old} has number {new} here" for old, new in deciding.renumbered().items()
    ]
    return Restored(
        verified.uri,
        applied,
        findings.counts,
        findings.bytes,
        tuple(findings.words),
        tuple(roots),
        tuple(notes),
    )
