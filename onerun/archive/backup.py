"""Backing up: a selection of the store that the environment names, in one archive, verified, or none at all."""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from onerun import storage
from onerun.archive import artifacts, keeping
from onerun.archive.container import Writer
from onerun.archive.index import Index
from onerun.archive.record_io.source import Source, source
from onerun.archive.verify import verify
from onerun.config.addresses import redact
from onerun.domain.archives import KINDS, WITH_FILES, Archive, Selection, file_member, inside
from onerun.domain.errors import ArchiveDamaged

RECORDS_BYTES = 32 * 2**20  # of one member with records
SMALL = 2**20  # up to here a file is read at once: nobody changes it meanwhile
NAMED = 100  # ids of a selection that the header names; of more it gives the number, the records have them all


def back_up(
    selection: Selection, destination: str, label: str, files: bool = True, store: str | None = None
) -> Archive:
    """Writes the selection into one file in `destination` (a folder or s3://bucket/prefix) and reads it back.

    Args:
        files: with the artifacts; without them a restore finds them where they were, or not.
        store: a tracking URI, instead of the environment's.

    Raises: OnerunError or Mistakes when the archive cannot be written whole; then there is none.
    """
    keeping.require_label(label)
    destination = keeping.place_of(destination)
    with source(store) as opened:  # a store that cannot be read is told before a folder is made
        notes = keeping.prepare(destination)
        with keeping.workplace(destination) as work:
            at, draft = datetime.now(UTC), work / "draft"
            notes += _write(opened, selection, draft, work, at, files)
            written = verify(str(draft), work)
            uri = storage.join(
                destination, keeping.name_of(label, opened.identity, at, written.digest)
            )
            keeping.put(draft, uri)
            if storage.is_s3(uri) and (arrived := verify(uri, work).digest) != written.digest:
                raise ArchiveDamaged(
                    f"{uri} is not what was sent: {arrived[:12]}, not {written.digest[:12]}"
                )
    return Archive(uri, written.digest, written.bytes, written.counts, tuple(notes))


def _write(
    store: Source, selection: Selection, draft: Path, work: Path, at: datetime, files: bool
) -> list[str]:
    """Records are read first, so that files come before them in the archive: restored ones never point to nothing."""
    index = Index(work)
    try:
        index.fill(store.entries())
        index.want(selection, redact(store.uri))
        notes = store.left_out()
        with storage.translated_errors(str(draft)), draft.open("wb") as file:
            parts, written = _spool(store, index, work)
            notes += _gone(index.counts(), written)
            header = {"written": at.isoformat(), "store": redact(store.uri), **store.versions()}
            with Writer(file, work, {**header, "selection": _in_short(selection)}) as writer:
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
    """A header that grew with the selection would be no header any more: whoever reads one reads it at once."""
    return {
        part: list(ids) if len(ids) <= NAMED else len(ids) for part, ids in vars(selection).items()
    }


def _add_records(writer: Writer, work: Path, parts: int) -> None:
    for number in range(parts):
        part = work / f"records-{number:06d}"
        with part.open("rb") as records:
            writer.add(f"records/{number:06d}.jsonl", part.stat().st_size, records)
        part.unlink()


def _gone(wanted: Mapping[str, int], written: Mapping[str, int]) -> list[str]:
    """Returns: in words, what others deleted between the first look and the reading."""
    missing = {kind: count - written.get(kind, 0) for kind, count in wanted.items()}
    return [
        f"{count} {kind} records were deleted meanwhile by others"
        for kind, count in missing.items()
        if count > 0
    ]


def _spool(store: Source, index: Index, work: Path) -> tuple[int, Counter[str]]:
    """Writes all records into files of `work`. Returns: how many files, and how many records of each kind."""
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
    """Adds the files of all records that have a place. Returns: what was left out, in words."""
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
