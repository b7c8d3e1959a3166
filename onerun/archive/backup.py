"""Back up a selection of the store that the environment names: one verified archive, or none."""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from onerun import storage
from onerun.archive import artifacts, repository
from onerun.archive.container import Writer
from onerun.archive.index import Index
from onerun.archive.record_io.stores import Source, source
from onerun.config.addresses import redact
from onerun.domain.archives import (
    KINDS,
    WITH_FILES,
    Archive,
    Content,
    Selection,
    file_member,
    inside,
)

RECORDS_BYTES = 32 * 2**20  # of one member with records
SMALL = 2**20  # bytes; a smaller file is read at once, so that its size cannot change meanwhile
NAMED = 100  # ids of a selection that the header names; of more it gives the number


def back_up(
    selection: Selection, destination: str, label: str, files: bool = True, store: str | None = None
) -> Archive:
    """Write the selection into one file in `destination` and read it back.

    Args:
        selection: parts of the store.
        destination: a folder or s3://bucket/prefix.
        label: how the archive's name begins.
        files: with the artifacts; without them a restore finds them where they were, or not.
        store: a tracking URI, instead of the environment's.

    Raises: OnerunError, Mistakes: the archive cannot be written whole; then there is none.
    """
    repository.require_label(label)
    destination = repository.place_of(destination)
    with source(store) as opened:  # a store that cannot be read is an error before a folder is made

        def write(draft: Path, work: Path, at: datetime) -> list[str]:
            return _write(opened, selection, draft, work, at, files)

        return repository.publish(destination, label, opened.identity, repository.SUFFIX, write)


def _write(
    store: Source, selection: Selection, draft: Path, work: Path, at: datetime, files: bool
) -> list[str]:
    """Write the archive: files before records, so that restored records have their files.

    Records are read first, all the same: a file that is newer than its record does no harm.
    """
    index = Index(work)
    try:
        index.fill(store.entries())
        index.want(selection, redact(store.uri))
        notes = store.left_out()
        with storage.translated_errors(str(draft)), draft.open("wb") as file:
            parts, written = _spool(store, index, work)
            notes += _deleted(index.counts(), written)
            header = {
                "written": at.isoformat(),
                "store": redact(store.uri),
                **store.versions(),
                "selection": _in_short(selection),
            }
            with Writer(file, work, Content.RECORDS, header) as writer:
                notes += _add_files(writer, index, store.uri) if files else []
                _add_records(writer, work, parts)
                counts = {kind: count for kind, count in written.items() if count}
                writer.finish({**counts, "files": writer.files, "file bytes": writer.bytes})
            file.flush()
            os.fsync(file.fileno())
        return notes
    finally:
        index.close()


def _in_short(selection: Selection) -> dict[str, Any]:
    """Return what the header says of a selection; a header is small, whatever is selected."""
    return {
        part: list(ids) if len(ids) <= NAMED else len(ids) for part, ids in vars(selection).items()
    }


def _add_records(writer: Writer, work: Path, parts: int) -> None:
    for number in range(parts):
        part = work / f"records-{number:06d}"
        with part.open("rb") as records:
            writer.add(f"records/{number:06d}.jsonl", part.stat().st_size, records)
        part.unlink()


def _deleted(wanted: Mapping[str, int], written: Mapping[str, int]) -> list[str]:
    """Return, in words, what others deleted between listing and reading."""
    missing = {kind: count - written.get(kind, 0) for kind, count in wanted.items()}
    return [
        f"{count} {kind} records were deleted meanwhile by others"
        for kind, count in missing.items()
        if count > 0
    ]


def _spool(store: Source, index: Index, work: Path) -> tuple[int, Counter[str]]:
    """Write all records into files of `work`. Return the number of files, of records by kind."""
    count, file, written = 0, None, Counter[str]()
    for line in _lines(store, index, written):
        if file is None or file.tell() > RECORDS_BYTES:
            if file:
                file.close()
            file = (work / f"records-{count:06d}").open("wb")
            count += 1
        file.write(line)
    if file:
        file.close()
    return count, written


def _lines(store: Source, index: Index, written: Counter[str]) -> Iterator[bytes]:
    for kind in KINDS:
        batch: list[str] = []
        for identity in index.wanted(kind):
            batch.append(identity)
            if len(batch) == 1000:
                yield from _read(store, kind, batch, written)
                batch = []
        yield from _read(store, kind, batch, written)


def _read(store: Source, kind: str, ids: list[str], written: Counter[str]) -> Iterator[bytes]:
    last = None
    for identity, table, rows in store.rows(kind, ids):
        written[kind] += identity != last
        last = identity
        yield (
            json.dumps(
                {"kind": kind, "id": identity, "table": table, "rows": rows}, default=str
            ).encode()
            + b"\n"
        )


def _add_files(writer: Writer, index: Index, server: str) -> list[str]:
    """Add the files of all records that have a place. Return what was left out, in words."""
    notes = []
    for kind in WITH_FILES:
        for identity, place in index.places(kind):
            for artifact in artifacts.files(place, server):
                name = file_member(kind, identity, artifact.path)
                if artifact.note or not inside(artifact.path):
                    notes.append(
                        artifact.note
                        or f"{place}/{artifact.path}: no path that can be restored: left out"
                    )
                    continue
                with artifact.open() as opened:
                    _add(writer, name, artifact.size, opened)
    return notes


def _add(writer: Writer, name: str, size: int, opened: IO[bytes]) -> None:
    if size > SMALL:
        writer.add(name, size, opened)
    else:
        writer.add_bytes(name, opened.read())
