"""An index of the records of a store or an archive, and of what belongs to what.

It lies in a temporary file: memory does not grow with the store.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from onerun.config.mistakes import Mistake, Mistakes, did_you_mean
from onerun.domain.archives import KINDS, RecordEntry, Selection

_COLUMNS = ("kind", "id", "experiment", "run", "model", "dataset", "name", "place")
_WANTED = "kind = ? AND wanted"
# Adds what belongs to what is wanted; the order matters: later lines look at what earlier ones add.
_CLOSURE = """
UPDATE record SET wanted = 1 WHERE kind = 'model' AND id IN
    (SELECT model FROM record WHERE kind = 'model-version' AND wanted);
UPDATE record SET wanted = 1 WHERE kind = 'run' AND id IN
    (SELECT run FROM record WHERE kind IN ('model-version', 'model') AND wanted);
UPDATE record SET wanted = 1 WHERE kind = 'model' AND run IN
    (SELECT id FROM record WHERE kind = 'run' AND wanted);
UPDATE record SET wanted = 1 WHERE kind = 'link' AND run IN
    (SELECT id FROM record WHERE kind = 'run' AND wanted);
UPDATE record SET wanted = 1 WHERE kind = 'dataset' AND id IN
    (SELECT dataset FROM record WHERE kind = 'link' AND wanted);
UPDATE record SET wanted = 1 WHERE kind = 'model-metrics' AND
    (model IN (SELECT id FROM record WHERE kind = 'model' AND wanted)
     OR run IN (SELECT id FROM record WHERE kind = 'run' AND wanted));
UPDATE record SET wanted = 1 WHERE kind = 'experiment' AND id IN
    (SELECT experiment FROM record WHERE wanted);
"""


class Index:
    """Records by kind and id. For one thread."""

    def __init__(self, folder: Path) -> None:
        """Make its file in `folder`."""
        self._file = sqlite3.connect(folder / "index.sqlite", isolation_level=None)
        self._file.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -16000;"
            f"CREATE TABLE record ({', '.join(f'{name} TEXT' for name in _COLUMNS)},"
            " wanted INTEGER NOT NULL DEFAULT 0, verdict TEXT, PRIMARY KEY (kind, id))"
            " WITHOUT ROWID;"
            "CREATE INDEX by_run ON record (kind, run);"
            "CREATE INDEX by_experiment ON record (experiment);"
        )

    def fill(self, entries: Iterable[RecordEntry]) -> None:
        """Add entries."""
        self._file.execute("BEGIN")
        row = ", ".join("?" * len(_COLUMNS))
        self._file.executemany(
            f"INSERT OR REPLACE INTO record ({', '.join(_COLUMNS)}) VALUES ({row})",
            ([getattr(entry, name) for name in _COLUMNS] for entry in entries),
        )
        self._file.execute("COMMIT")

    def want(self, selection: Selection | None, where: str) -> None:
        """Mark what the selection means. Raises: Mistakes: an id or name is not in `where`."""
        if selection is None or selection.everything:
            self._file.execute("UPDATE record SET wanted = 1")
            return
        experiments = [each for asked in selection.experiments for each in self._experiments(asked)]
        self._require("experiment", tuple(experiments), where)
        self._require("run", selection.runs, where)
        self._require("registered-model", selection.models, where)
        for each in experiments:
            self._file.execute("UPDATE record SET wanted = 1 WHERE experiment = ?", [each])
        for each in selection.runs:
            self._file.execute("UPDATE record SET wanted = 1 WHERE kind = 'run' AND id = ?", [each])
        for each in selection.models:
            kinds = "('registered-model', 'model-version')"
            self._file.execute(
                f"UPDATE record SET wanted = 1 WHERE kind IN {kinds} AND name = ?", [each]
            )
        self._file.executescript(_CLOSURE)

    def _experiments(self, asked: str) -> list[str]:
        """Return the ids of an experiment given by id or name."""
        if self.has("experiment", asked):
            return [asked]
        return self.experiments_named(asked) or [asked]

    def _require(self, kind: str, asked: tuple[str, ...], where: str) -> None:
        missing = [each for each in asked if not self.has(kind, each)]
        if missing:
            query = "SELECT id, name FROM record WHERE kind = ? LIMIT 5000"
            known = [text for row in self._file.execute(query, [kind]) for text in row if text]
            raise Mistakes(
                Mistake(
                    "", f"no {kind.replace('-', ' ')} {each} in {where}{did_you_mean(each, known)}"
                )
                for each in missing
            )

    def has(self, kind: str, identity: str) -> bool:
        """Return whether it is there, wanted or not."""
        query = "SELECT 1 FROM record WHERE kind = ? AND id = ?"
        return self._file.execute(query, [kind, identity]).fetchone() is not None

    def experiments_named(self, name: str) -> list[str]:
        """Return the ids of experiments of that name."""
        query = "SELECT id FROM record WHERE kind = 'experiment' AND name = ?"
        return [each for (each,) in self._file.execute(query, [name])]

    def wanted(self, kind: str) -> Iterator[str]:
        """Yield the ids of wanted records of that kind, in order."""
        yield from (each for (each,) in self._pages("id", _WANTED, [kind]))

    def places(self, kind: str) -> Iterator[tuple[str, str]]:
        """Yield id and place of wanted records that have one."""
        yield from (
            (row[0], row[1])
            for row in self._pages("id, place", f"{_WANTED} AND place IS NOT NULL", [kind])
        )

    def _pages(self, columns: str, condition: str, values: list[str]) -> Iterator[tuple[str, ...]]:
        """Yield rows, read a page at a time: others may write meanwhile."""
        last = ""
        while page := self._file.execute(
            f"SELECT {columns} FROM record WHERE {condition} AND id > ? ORDER BY id LIMIT 1000",
            [*values, last],
        ).fetchall():
            yield from page
            last = page[-1][0]

    def is_wanted(self, kind: str, identity: str) -> bool:
        """Return whether the selection means it."""
        query = "SELECT wanted FROM record WHERE kind = ? AND id = ?"
        found = self._file.execute(query, [kind, identity]).fetchone()
        return found is not None and bool(found[0])

    def place(self, kind: str, identity: str) -> str | None:
        """Return where the record's files are."""
        query = "SELECT place FROM record WHERE kind = ? AND id = ?"
        found = self._file.execute(query, [kind, identity]).fetchone()
        return found[0] if found else None

    def homes(self, kind: str, identity: str) -> list[str]:
        """Return the place of the record's experiment, in which its own must be."""
        query = (
            "SELECT home.place FROM record"
            " JOIN record AS home ON home.kind = 'experiment' AND home.id = record.experiment"
            " WHERE record.kind = ? AND record.id = ? AND home.place IS NOT NULL"
        )
        return [each for (each,) in self._file.execute(query, [kind, identity])]

    def homes_wanted(self) -> list[str]:
        """Return the places of the wanted experiments."""
        return [place for _, place in self.places("experiment")]

    def verdict(self, kind: str, identity: str) -> str | None:
        """Return what was decided on a record, or None."""
        query = "SELECT verdict FROM record WHERE kind = ? AND id = ?"
        found = self._file.execute(query, [kind, identity]).fetchone()
        return found[0] if found else None

    def decide(self, kind: str, identity: str, verdict: str) -> None:
        """Set what was decided on a record."""
        self._file.execute(
            "UPDATE record SET verdict = ? WHERE kind = ? AND id = ?", [verdict, kind, identity]
        )

    def move(self, kind: str, identity: str, place: str | None) -> None:
        """Set where the record's files are, where the archive says otherwise."""
        self._file.execute(
            "UPDATE record SET place = ? WHERE kind = ? AND id = ?", [place, kind, identity]
        )

    def counts(self) -> dict[str, int]:
        """Return the number of wanted records by kind."""
        query = "SELECT kind, count(*) FROM record WHERE wanted GROUP BY kind"
        found = dict(self._file.execute(query).fetchall())
        return {kind: found[kind] for kind in KINDS if kind in found}

    def close(self) -> None:
        """Close its file."""
        self._file.close()
