"""An archive's records, one by one, as they are to be in the store they are restored to."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from onerun.archive.record_io.layout import PARTS, PLACE_OF_TRACE
from onerun.domain import names
from onerun.domain.archives import KINDS
from onerun.domain.errors import ArchiveDamaged

Row = dict[str, Any]
_PLACES = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}
_FOLDERS = {
    "runs": ("run_uuid", "{}/artifacts"),
    "logged_models": ("model_id", "models/{}/artifacts"),
}


@dataclass
class Rewriting:
    """What is different in the store restored to: places, ids of experiments and data sets."""

    root: str | None = None  # files go below it, by experiment, instead of where they were
    places: dict[str, str] = field(default_factory=dict)  # an experiment's old place -> its new one
    experiments: dict[str, str] = field(default_factory=dict)  # old id -> new id
    datasets: dict[str, str] = field(default_factory=dict)  # id in the archive -> id in the store

    def rows(self, table: str, rows: list[Row]) -> list[Row]:
        """Return the rows as they are to be in the store."""
        return [self._row(table, dict(row)) for row in rows]

    def _row(self, table: str, row: Row) -> Row:
        if self.root is not None:
            self._move(table, row)
        if "experiment_id" in row:
            row["experiment_id"] = int(
                self.experiments.get(str(row["experiment_id"])) or row["experiment_id"]
            )
        if table == "inputs" and row["source_type"] == "DATASET":
            row["source_id"] = self.datasets.get(row["source_id"], row["source_id"])
        if row.get("dataset_uuid") is not None and table == "logged_model_metrics":
            row["dataset_uuid"] = self.datasets.get(row["dataset_uuid"], row["dataset_uuid"])
        return row

    def _move(self, table: str, row: Row) -> None:
        if table == "experiments":
            self.places[(row["artifact_location"] or "").rstrip("/")] = (
                f"{self.root}/{row['experiment_id']}"
            )
        for column in _PLACES.get(table, ()):
            row[column] = self._moved(row[column], table, row)
        if table == "trace_tags" and row["key"] == PLACE_OF_TRACE:
            row["value"] = self._moved(row["value"], table, row)

    def _moved(self, place: str | None, table: str, row: Row) -> str | None:
        if not place:
            return place
        parts = place.rstrip("/").split("/")
        for length in range(len(parts), 0, -1):
            new = self.places.get("/".join(parts[:length]))
            if new is not None:
                return "/".join([new, *parts[length:]])
        if table in _FOLDERS:
            column, folder = _FOLDERS[table]
            return f"{self.root}/{row['experiment_id']}/{folder.format(row[column])}"
        return place


@dataclass(frozen=True)
class Record:
    """One record of the archive: read its rows before the next one."""

    kind: str
    id: str
    rows: Iterator[tuple[str, list[Row]]]


def records(file: Path, rewriting: Rewriting) -> Iterator[Record]:
    """Yield every record. Raises: ArchiveDamaged: a line is none."""
    with file.open("rb") as lines:
        for (kind, identity), group in groupby(
            map(_parsed, lines), key=lambda line: (line["kind"], line["id"])
        ):
            if kind == "experiment":
                identity = rewriting.experiments.get(identity, identity)
            yield Record(kind, identity, _rewritten(group, rewriting))


def _parsed(text: bytes) -> Mapping[str, Any]:
    try:
        line = json.loads(text)
        known = line["kind"] in KINDS and line["table"] in {
            part.table for part in PARTS[line["kind"]]
        }
        if (
            known
            and isinstance(line["id"], str)
            and all(isinstance(row, dict) for row in line["rows"])
        ):
            return dict(line)
    except (ValueError, KeyError, TypeError):
        pass  # the error follows
    raise ArchiveDamaged(f"a record of the archive is none that this program knows: {text[:200]!r}")


def _rewritten(
    group: Iterator[Mapping[str, Any]], rewriting: Rewriting
) -> Iterator[tuple[str, list[Row]]]:
    for line in group:
        yield line["table"], rewriting.rows(line["table"], line["rows"])
        if line["table"] == "experiments" and line["id"] in rewriting.experiments:
            renamed = int(rewriting.experiments[line["id"]])
            tag = {
                "experiment_id": renamed,
                "key": names.TAG_ARCHIVED_EXPERIMENT,
                "value": line["id"],
            }
            yield "experiment_tags", [tag]
