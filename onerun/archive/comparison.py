"""An archive compared with a store: each record and file is new, the same, or different there."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

from onerun.archive import artifacts
from onerun.archive.container import listed
from onerun.archive.index import Index
from onerun.archive.record_io import reader, writer
from onerun.archive.record_io.database import Databases
from onerun.archive.record_io.layout import NATURAL, PLACE_OF_TRACE
from onerun.archive.records import Record, Rewriting, records
from onerun.config.mistakes import Mistakes
from onerun.domain.archives import (
    WITH_FILES,
    RecordEntry,
    Sameness,
    differing_tables,
    entry_of,
    split_member,
)
from onerun.domain.cleanup.artifact_paths import plain
from onerun.domain.errors import ArchiveDamaged

SHOWN = 50  # differences in words
BATCH = 100
Row = dict[str, Any]


class Verdict(StrEnum):
    """What a record or a file of the archive is in the store."""

    NEW = "new"
    SAME = "same"
    DIFFERS = "differs"
    REPLACE = "replace"  # there, but only as what a deletion or MLflow itself leaves
    BLOCKED = "blocked"  # cannot be restored; counted as different


COUNTED_AS = {Verdict.REPLACE: Verdict.NEW, Verdict.BLOCKED: Verdict.DIFFERS}


class Blocked(Exception):
    """A record that cannot be restored: why, for a person; nothing when that was said already."""


@dataclass
class Differences:
    """What was found, counted; the first differences in words.

    bytes: of new files. left_out: kind -> how many of those that differ are blocked.
    """

    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    bytes: int = 0
    left_out: Counter[str] = field(default_factory=Counter)

    def count(self, kind: str, verdict: Verdict, message: str = "") -> None:
        """Count one record or file."""
        self.left_out[kind] += verdict == Verdict.BLOCKED
        shown = str(COUNTED_AS.get(verdict, verdict))
        of_kind = self.counts.setdefault(kind, {})
        of_kind[shown] = of_kind.get(shown, 0) + 1
        if message and len(self.messages) < SHOWN:
            self.messages.append(message)


def fill(index: Index, file: Path, rewriting: Rewriting) -> None:
    """Fill the index with all records of the archive."""
    index.fill(_entry(record) for record in records(file, rewriting))


def _entry(record: Record) -> RecordEntry:
    entry, place = None, None
    for table, rows in record.rows:
        if entry is None:
            entry = entry_of(record.kind, record.id, rows[0])
        if table == "trace_tags":
            place = next((row["value"] for row in rows if row["key"] == PLACE_OF_TRACE), place)
    assert entry is not None
    if place is None:
        return entry
    return RecordEntry(entry.kind, entry.id, entry.experiment, place=place)


class RecordComparison:
    """Compares an archive with a store. Without one (`databases` None) everything is new."""

    def __init__(
        self,
        index: Index,
        databases: Databases | None,
        rewriting: Rewriting,
        overwrite: bool = False,
    ) -> None:
        self._index, self._databases = index, databases
        self._rewriting, self._overwrite = rewriting, overwrite
        self._blocked: set[str] = set()  # experiments that cannot be restored
        self._elsewhere: dict[tuple[str, str], str] = {}  # kind, id -> why its files prevent it
        self.differences = Differences()

    def renumbered(self) -> dict[str, str]:
        """Return old -> new id of experiments whose id the database cannot hold."""
        return dict(self._rewriting.experiments)

    def decide(self, file: Path, manifest: Path) -> None:
        """Decide on every wanted record, in their order."""
        self._elsewhere = _missing_elsewhere(self._index, manifest, self._has_own_place)
        kind, batch = "", dict[str, tuple[str, Row]]()
        for record in records(file, self._rewriting):
            if batch and (record.kind != kind or len(batch) >= BATCH):
                self._decide(kind, batch)
                batch = {}
            if self._index.is_wanted(record.kind, record.id):
                kind = record.kind
                batch[record.id] = _digest(record)
        if batch:
            self._decide(kind, batch)

    def _decide(self, kind: str, batch: dict[str, tuple[str, Row]]) -> None:
        there = reader.found(self._databases, kind, list(batch)) if self._databases else {}
        for identity, (digest, row) in batch.items():
            found = there.get(identity) or self._twin(kind, identity, row)
            try:
                verdict, message = self._verdict(kind, identity, row, digest, found)
            except Blocked as reason:
                verdict, message = Verdict.BLOCKED, str(reason)
            self._index.decide(kind, identity, verdict)
            self.differences.count(kind, verdict, message)
            if found and kind in WITH_FILES and not self._overwrite:
                self._index.move(kind, identity, found.place or self._index.place(kind, identity))

    def _twin(self, kind: str, identity: str, row: Row) -> reader.Found | None:
        """Return the same data set or link under another id, which is then used instead."""
        if not self._databases or kind not in NATURAL:
            return None
        twin = reader.twin(self._databases, kind, row)
        if twin is None:
            return None
        if kind == "dataset":
            self._rewriting.datasets[identity] = twin
        return reader.found(self._databases, kind, [twin]).get(twin)

    def _verdict(
        self, kind: str, identity: str, row: Row, digest: str, found: reader.Found | None
    ) -> tuple[Verdict, str]:
        """Return the verdict, and a difference in words. Raises: Blocked."""
        if str(row.get("experiment_id")) in self._blocked:
            raise Blocked
        if reason := self._elsewhere.get((kind, identity)):
            raise Blocked(
                f"{kind} {identity}: its files are not below its experiment's ({reason}): "
                "it was left out; --artifacts ROOT puts them elsewhere"
            )
        if found is None:
            self._require_writable(kind, identity, row)
            return Verdict.NEW, ""
        if found.digest == digest:
            return Verdict.SAME, ""
        if kind == "experiment":
            self._require_same_experiment(identity, row, found)
        if found.deleted or self._is_unused_default(kind, identity):
            return Verdict.REPLACE, ""
        tables = ", ".join(differing_tables(digest, found.digest))
        return Verdict.DIFFERS, f"{kind} {identity}: the store has other {tables}"

    def _require_same_experiment(self, identity: str, row: Row, found: reader.Found) -> None:
        """Raise Blocked where the store has another experiment of that id."""
        if all(found.row[key] != row[key] for key in ("name", "creation_time")):
            self._blocked.add(identity)
            raise Blocked(
                f"experiment {identity} is {found.row['name']!r} here, not {row['name']!r}: "
                "it was left out"
            )

    def _is_unused_default(self, kind: str, identity: str) -> bool:
        if kind != "experiment" or not self._databases:
            return False
        return writer.unused_default(self._databases, identity)

    def _require_writable(self, kind: str, identity: str, row: Row) -> None:
        """Raise Blocked for a record that is not there and cannot be written."""
        run = (
            entry_of(kind, identity, row).run
            if kind in ("model", "link", "model-metrics")
            else None
        )
        if run is not None and self._is_left_out(run):
            raise Blocked
        if not self._databases:
            return
        if kind == "experiment":
            self._require_free_name(identity, row["name"])
        ends = entry_of(kind, identity, row)
        if kind in ("link", "model-metrics") and ends.run and not self._is_present("run", ends.run):
            raise Blocked(f"{kind} {identity}: there is no run {ends.run} in the store")
        if kind == "model-metrics" and ends.model and not self._is_present("model", ends.model):
            raise Blocked(f"{kind} {identity}: there is no logged model {ends.model} in the store")

    def _is_left_out(self, run: str) -> bool:
        blocked = self._index.verdict("run", run) == Verdict.BLOCKED
        return blocked and not self._is_present("run", run)

    def _require_free_name(self, identity: str, name: str) -> None:
        assert self._databases is not None
        other = writer.experiment_named(self._databases, name)
        if other is not None:
            self._blocked.add(identity)
            raise Blocked(
                f"experiment {identity}: its name {name!r} belongs to experiment {other} now; "
                "it was left out"
            )

    def _is_present(self, kind: str, identity: str) -> bool:
        verdict = self._index.verdict(kind, identity)
        if verdict is not None and verdict != Verdict.BLOCKED:
            return True
        return self._is_there(kind, identity)

    def _is_there(self, kind: str, identity: str) -> bool:
        return bool(self._databases and reader.found(self._databases, kind, [identity]))

    def _has_own_place(self, kind: str, identity: str) -> bool:
        """Return whether the store has the record, and itself says where its files are."""
        return not self._overwrite and self._is_there(kind, identity)

    def decide_files(self, manifest: Path, decisions: Path) -> None:
        """Decide on every artifact; `decisions` takes one line per member of the manifest."""
        place_of = lru_cache(maxsize=1)(self._place)
        with decisions.open("w", encoding="utf-8") as out:
            for line in listed(manifest):
                verdict, target = self._decide_file(line, place_of)
                out.write(json.dumps([verdict, target]) + "\n")

    def _decide_file(
        self, line: Row, place_of: Callable[[str, str], tuple[str, bool]]
    ) -> tuple[str, str]:
        artifact = split_member(line["name"])
        if artifact is None or not self._index.is_wanted(*artifact[:2]):
            return "", ""
        kind, identity, path = artifact
        if self._index.verdict(kind, identity) == Verdict.BLOCKED:
            return Verdict.BLOCKED, ""
        place, may_be_written = place_of(kind, identity)
        target = artifacts.below(place, path)
        verdict = _verdict_of_file(artifacts.digest(target, line["size"]), line["sha256"])
        if verdict != Verdict.SAME and not may_be_written:
            raise ArchiveDamaged(
                f"{target} is not below its experiment's place, and changed meanwhile: run it again"
            )
        message = f"{target}: another content" if verdict == Verdict.DIFFERS else ""
        self.differences.count("files", verdict, message)
        if verdict == Verdict.NEW:
            self.differences.bytes += line["size"]
        return verdict, target

    def _place(self, kind: str, identity: str) -> tuple[str, bool]:
        """Return where the record's files are or go, and whether they may be written there."""
        place = self._index.place(kind, identity) or ""
        known = self._index.verdict(kind, identity) in (Verdict.SAME, Verdict.DIFFERS)
        if known and not self._overwrite:
            return place, True  # the store's own
        return place, _is_own(place, self._index.homes(kind, identity))


def _verdict_of_file(found: str | None, expected: str) -> Verdict:
    if found is None:
        return Verdict.NEW
    return Verdict.SAME if found == expected else Verdict.DIFFERS


def _digest(record: Record) -> tuple[str, Row]:
    same, main = Sameness(), None
    for table, rows in record.rows:
        main = main or rows[0]
        for row in rows:
            same.add(table, row)
    assert main is not None
    return same.digest, main


def _is_own(place: str, homes: Iterable[str]) -> bool:
    """Return whether a place is below one of its experiment's, however the two are written."""
    return _is_straight(place) and any(plain(place).startswith(plain(home) + "/") for home in homes)


def _is_straight(place: str) -> bool:
    return bool(place) and ".." not in plain(place).split("/")


def _missing_elsewhere(
    index: Index, manifest: Path, has_own_place: Callable[[str, str], bool]
) -> dict[tuple[str, str], str]:
    """Return records whose files prevent a restore, and why: kind and id -> reason.

    A restore writes no files outside of their experiment's place: those must all be there, as they
    are in the archive.

    Args:
        index: with the records that are wanted.
        manifest: of the archive.
        has_own_place: says whether the store itself knows where a record's files are.
    """
    found = {}
    for (kind, identity), files in groupby(_artifacts(manifest), key=lambda each: each[0]):
        place = index.place(kind, identity) or ""
        if not index.is_wanted(kind, identity) or _is_own(place, index.homes(kind, identity)):
            continue
        if has_own_place(kind, identity):
            continue
        try:
            _require_there(place, (line for _, line in files))
        except Blocked as reason:
            found[kind, identity] = str(reason)
    return found


def _artifacts(manifest: Path) -> Iterator[tuple[tuple[str, str], Mapping[str, Any]]]:
    for line in listed(manifest):
        if artifact := split_member(line["name"]):
            yield artifact[:2], {**line, "path": artifact[2]}


def _require_there(place: str, files: Iterable[Mapping[str, Any]]) -> None:
    """Raise Blocked unless every file is there, and the same."""
    if not _is_straight(place):
        raise Blocked(f"at {place}" if place else "nowhere")
    for each in files:
        try:
            found = artifacts.digest(artifacts.below(place, each["path"]), each["size"])
        except (Mistakes, ArchiveDamaged) as error:
            raise Blocked(str(error)) from None
        if found != each["sha256"]:
            raise Blocked(f"at {place}, and not all there as they were archived")
