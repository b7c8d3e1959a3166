"""What an archive is: its parts of a store, its members, and when two records are the same."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import quote, unquote

from onerun.domain.errors import ArchiveDamaged

FORMAT = "onerun-archive"
HEADER = "header.json"
MANIFEST = "manifest.jsonl"


class Content(StrEnum):
    """What an archive holds."""

    RECORDS = "records"  # of a store, with their artifacts
    FOLDERS = "folders"  # of a file store, as they are


# Archives of records are still written as version 1, which earlier versions read too.
VERSIONS = {Content.RECORDS: 1, Content.FOLDERS: 2}
# In the order in which they are restored: what a record refers to comes before it.
KINDS = (
    "experiment", "run", "dataset", "model", "link", "model-metrics", "trace", "registered-model",
    "model-version",
)  # fmt: skip
WITH_FILES = ("run", "model", "trace")
LONGEST_NAME = 4096  # characters of a member's name; Linux takes no longer path
_RECORDS = re.compile(r"records/\d{6}\.jsonl")
_GENERATED = {"inputs": {"input_uuid"}, "input_tags": {"input_uuid"}, "datasets": {"dataset_uuid"}}


@dataclass(frozen=True)
class Selection:
    """Parts of a store: experiments and runs by id, registered models by name. Empty: all of it.

    An experiment brings its runs, logged models, data sets and traces; a run its inputs, outputs
    and logged models; a registered model its versions, aliases and ledger, the logged models behind
    them and the runs that made those.
    """

    experiments: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    models: tuple[str, ...] = ()

    @property
    def everything(self) -> bool:
        """Return whether nothing is left out."""
        return not (self.experiments or self.runs or self.models)


@dataclass(frozen=True)
class Archive:
    """An archive that was written whole and read back: address, SHA-256, size and counts."""

    uri: str
    digest: str
    bytes: int
    counts: Mapping[str, int]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Restored:
    """What a restore found or, when `applied`, did. `found`: kind -> verdict -> number."""

    uri: str
    applied: bool
    found: Mapping[str, Mapping[str, int]]
    bytes: int  # of the files that are new
    differing: tuple[str, ...] = ()  # the first of them, in words
    places: tuple[str, ...] = ()  # where files go
    notes: tuple[str, ...] = field(default=())

    @property
    def new(self) -> int:
        """Return how many records and files the store does not have, or did not have before."""
        return sum(each.get("new", 0) for each in self.found.values())

    @property
    def differ(self) -> int:
        """Return how many records and files the store has with another content."""
        return sum(each.get("differs", 0) for each in self.found.values())


def file_member(kind: str, identity: str, path: str) -> str:
    """Return the name of the member that holds an artifact."""
    return f"artifacts/{kind}/{quote(identity, safe='')}/{path}"


def split_member(name: str) -> tuple[str, str, str] | None:
    """Return kind, id and relative path of an artifact; None for another member.

    Raises: ArchiveDamaged: no archive of ours has such a name; it may lead out of its target.
    """
    if name in (HEADER, MANIFEST) or _RECORDS.fullmatch(name):
        return None
    folder, _, rest = name.partition("/")
    kind, _, rest = rest.partition("/")
    identity, _, path = rest.partition("/")
    if (
        folder != "artifacts"
        or kind not in WITH_FILES
        or not identity
        or not inside(path)
        or len(name) > LONGEST_NAME
    ):
        raise ArchiveDamaged(
            f"member {name[:200]!r} is none that an archive of ours has: nothing was restored"
        )
    return kind, unquote(identity), path


def inside(path: str) -> bool:
    """Return whether a relative path stays below the folder it is joined to."""
    return "\x00" not in path and all(part not in ("", ".", "..") for part in path.split("/"))


class Sameness:
    """The digest of a record's rows, table by table, in any order: stores sort text differently."""

    def __init__(self) -> None:
        self._sums: dict[str, int] = {}

    def add(self, table: str, row: Mapping[str, Any]) -> None:
        """Add one row; identifiers that a store makes up and never shows do not count."""
        left_out = _GENERATED.get(table, set())
        shown = {
            key: value for key, value in row.items() if value is not None and key not in left_out
        }
        text = json.dumps(shown, sort_keys=True, default=str)
        value = int.from_bytes(hashlib.sha256(text.encode()).digest())
        self._sums[table] = (self._sums.get(table, 0) + value) % 2**256

    @property
    def digest(self) -> str:
        """Return a text that is the same for the same rows."""
        return " ".join(f"{table}={total:064x}" for table, total in sorted(self._sums.items()))


def differing_tables(one: str, other: str) -> list[str]:
    """Return the tables in which two records differ, from their digests."""
    return sorted({part.partition("=")[0] for part in set(one.split()) ^ set(other.split())})


@dataclass(frozen=True)
class RecordEntry:
    """One record of a store, as far as it says what belongs to what. `place`: of its files."""

    kind: str
    id: str
    experiment: str | None = None
    run: str | None = None
    model: str | None = None
    dataset: str | None = None
    name: str | None = None
    place: str | None = None


def entry_of(kind: str, identity: str, row: Mapping[str, Any]) -> RecordEntry:
    """Return the entry of a record from the row of its main table."""
    experiment = None if row.get("experiment_id") is None else str(row["experiment_id"])
    if kind == "experiment":
        return RecordEntry(
            kind, identity, experiment=identity, name=row["name"], place=row["artifact_location"]
        )
    if kind == "run":
        return RecordEntry(kind, identity, experiment=experiment, place=row["artifact_uri"])
    if kind == "model":
        return RecordEntry(
            kind,
            identity,
            experiment=experiment,
            run=row["source_run_id"],
            place=row["artifact_location"] or None,
        )
    if kind == "link":
        return _link(identity, row)
    if kind == "model-metrics":
        return RecordEntry(kind, identity, run=row["run_id"], model=row["model_id"])
    if kind == "model-version":
        source = row["source"] or ""
        model = source.removeprefix("models:/") if source.startswith("models:/m-") else None
        return RecordEntry(kind, identity, run=row["run_id"] or None, model=model, name=row["name"])
    return RecordEntry(kind, identity, experiment=experiment, name=row.get("name"))


def _link(identity: str, row: Mapping[str, Any]) -> RecordEntry:
    """Return the entry of a link: data set -> run, or run -> logged model it reads or makes."""
    if row["source_type"] == "DATASET":
        return RecordEntry("link", identity, run=row["destination_id"], dataset=row["source_id"])
    return RecordEntry("link", identity, run=row["source_id"], model=row["destination_id"])
