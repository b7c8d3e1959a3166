"""What is to be done with each record and file of an archive: new, the same, or different in the store."""

import json
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from onerun.archive import artifacts, elsewhere
from onerun.archive.container import listed
from onerun.archive.index import Index
from onerun.archive.record_io import reading, writing
from onerun.archive.record_io.database import Databases
from onerun.archive.record_io.layout import NATURAL, PLACE_OF_TRACE
from onerun.archive.records import Record, Rewriting, records
from onerun.domain.archives import WITH_FILES, Sameness, differing_tables, entry_of, split_member
from onerun.domain.errors import ArchiveDamaged

NEW, SAME, DIFFERS, REPLACE, BLOCKED = "new", "same", "differs", "replace", "blocked"
TOLD = 50  # differences put in words
BATCH = 100
Row = dict[str, Any]


@dataclass
class Findings:
    """What was found, counted; the first differences in words."""

    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    bytes: int = 0
    left_out: Counter[str] = field(default_factory=Counter)  # kind -> how many of those that differ

    def count(self, kind: str, verdict: str, words: str = "") -> None:
        """Counts one in."""
        self.left_out[kind] += verdict == BLOCKED
        shown = {REPLACE: NEW, BLOCKED: DIFFERS}.get(verdict, verdict)
        of_kind = self.counts.setdefault(kind, {})
        of_kind[shown] = of_kind.get(shown, 0) + 1
        if words and len(self.words) < TOLD:
            self.words.append(words)


def fill(index: Index, file: Path, rewriting: Rewriting) -> None:
    """Takes up all records of the archive into the index."""
    index.fill(_entry(record) for record in records(file, rewriting))


def _entry(record: Record) -> Any:
    entry, place = None, None
    for table, rows in record.rows:
        if entry is None:
            entry = entry_of(record.kind, record.id, rows[0])
        if table == "trace_tags":
            place = next((row["value"] for row in rows if row["key"] == PLACE_OF_TRACE), place)
    assert entry is not None
    return (
        entry if place is None else type(entry)(entry.kind, entry.id, entry.experiment, place=place)
    )


class Deciding:
    """Compares an archive with a store. Without one (`databases` None) everything is new."""

    def __init__(
        self,
        index: Index,
        databases: Databases | None,
        rewriting: Rewriting,
        overwrite: bool = False,
    ) -> None:
        self._index, self._databases, self._rewriting, self._overwrite = (
            index,
            databases,
            rewriting,
            overwrite,
        )
        self._blocked: set[str] = set()  # experiments that cannot be restored
        self._elsewhere: dict[
            tuple[str, str], str
        ] = {}  # kind and id of what cannot be, for its place -> why
        self.findings = Findings()

    def renumbered(self) -> dict[str, str]:
        """Returns: old id -> new id of experiments whose id the database cannot hold."""
        return dict(self._rewriting.experiments)

    def decide(self, file: Path, manifest: Path) -> None:
        """Decides on every wanted record, in their order."""
        self._elsewhere = elsewhere.not_there(self._index, manifest, self._says_itself)
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
        there = reading.found(self._databases, kind, list(batch)) if self._databases else {}
        for identity, (digest, row) in batch.items():
            found = there.get(identity) or self._twin(kind, identity, row)
            verdict, words = self._verdict(kind, identity, row, digest, found)
            self._index.decide(kind, identity, verdict)
            self.findings.count(kind, verdict, words)
            if found and kind in WITH_FILES and not self._overwrite:
                self._index.move(kind, identity, found.place or self._index.place(kind, identity))

    def _twin(self, kind: str, identity: str, row: Row) -> reading.Found | None:
        """The same data set or link may be there under another id, which is then used instead."""
        if not self._databases or kind not in NATURAL:
            return None
        twin = reading.twin(self._databases, kind, row)
        if twin is None:
            return None
        if kind == "dataset":
            self._rewriting.datasets[identity] = twin
        return reading.found(self._databases, kind, [twin]).get(twin)

    def _verdict(
        self, kind: str, identity: str, row: Row, digest: str, found: reading.Found | None
    ) -> tuple[str, str]:
        if str(row.get("experiment_id")) in self._blocked:
            return BLOCKED, ""
        if reason := self._elsewhere.get((kind, identity)):
            words = f"{kind} {identity}: its files are not below its experiment's ({reason}): it was left out"
            return BLOCKED, f"{words}; --artifacts ROOT puts them elsewhere"
        if found is None:
            if self._of_what_was_left_out(kind, identity, row):
                return BLOCKED, ""
            obstacle = self._obstacle(kind, identity, row)
            return (BLOCKED, obstacle) if obstacle else (NEW, "")
        if found.digest == digest:
            return SAME, ""
        if kind == "experiment" and all(
            found.row[key] != row[key] for key in ("name", "creation_time")
        ):
            self._blocked.add(identity)
            return (
                BLOCKED,
                f"experiment {identity} is {found.row['name']!r} here, not {row['name']!r}: it was left out",
            )
        if found.deleted or (
            kind == "experiment"
            and self._databases
            and writing.unused_default(self._databases, identity)
        ):
            return REPLACE, ""
        return (
            DIFFERS,
            f"{kind} {identity}: the store has other {', '.join(differing_tables(digest, found.digest))}",
        )

    def _of_what_was_left_out(self, kind: str, identity: str, row: Row) -> bool:
        """Whether it belongs to a run that was left out, which is told already."""
        run = (
            entry_of(kind, identity, row).run
            if kind in ("model", "link", "model-metrics")
            else None
        )
        return (
            run is not None
            and self._index.verdict("run", run) == BLOCKED
            and not self._present("run", run)
        )

    def _obstacle(self, kind: str, identity: str, row: Row) -> str:
        """Returns: why it cannot be written, in words; empty when it can."""
        if not self._databases:
            return ""
        if (
            kind == "experiment"
            and (other := writing.experiment_named(self._databases, row["name"])) is not None
        ):
            self._blocked.add(identity)
            return f"experiment {identity}: its name {row['name']!r} belongs to experiment {other} now; it was left out"
        ends = entry_of(kind, identity, row)
        if kind in ("link", "model-metrics") and ends.run and not self._present("run", ends.run):
            return f"{kind} {identity}: there is no run {ends.run} in the store"
        if kind == "model-metrics" and ends.model and not self._present("model", ends.model):
            return f"{kind} {identity}: there is no logged model {ends.model} in the store"
        return ""

    def _present(self, kind: str, identity: str) -> bool:
        if self._index.verdict(kind, identity) in (NEW, SAME, DIFFERS, REPLACE):
            return True
        return self._is_there(kind, identity)

    def _is_there(self, kind: str, identity: str) -> bool:
        return bool(self._databases and reading.found(self._databases, kind, [identity]))

    def _says_itself(self, kind: str, identity: str) -> bool:
        return not self._overwrite and self._is_there(kind, identity)

    def decide_files(self, manifest: Path, decisions: Path) -> None:
        """Decides on every artifact; `decisions` takes one line per member of the manifest."""
        place_of = lru_cache(maxsize=1)(self._place)
        with decisions.open("w", encoding="utf-8") as out:
            for line in listed(manifest):
                verdict, target = self._decide_file(line, place_of)
                out.write(json.dumps([verdict, target]) + "\n")

    def _decide_file(self, line: Row, place_of: Any) -> tuple[str, str]:
        artifact = split_member(line["name"])
        if artifact is None or not self._index.is_wanted(*artifact[:2]):
            return "", ""
        kind, identity, path = artifact
        if self._index.verdict(kind, identity) == BLOCKED:
            return BLOCKED, ""
        place, may_be_written = place_of(kind, identity)
        target = artifacts.below(place, path)
        found = artifacts.digest(target, line["size"])
        verdict = NEW if found is None else SAME if found == line["sha256"] else DIFFERS
        if verdict != SAME and not may_be_written:
            words = (
                f"{target} is not below its experiment's place, and changed meanwhile: run it again"
            )
            raise ArchiveDamaged(words)
        self.findings.count(
            "files", verdict, f"{target}: another content" if verdict == DIFFERS else ""
        )
        self.findings.bytes += line["size"] if verdict == NEW else 0
        return verdict, target

    def _place(self, kind: str, identity: str) -> tuple[str, bool]:
        """Returns: where the record's files are or go, and whether they may be written there."""
        place = self._index.place(kind, identity) or ""
        if self._index.verdict(kind, identity) in (SAME, DIFFERS) and not self._overwrite:
            return place, True  # the store's own
        return place, elsewhere.is_own(place, self._index.homes(kind, identity))


def _digest(record: Record) -> tuple[str, Row]:
    same, main = Sameness(), None
    for table, rows in record.rows:
        main = main or rows[0]
        for row in rows:
            same.add(table, row)
    assert main is not None
    return same.digest, main
