"""What is wrong in a store: where, how large, how old, why, and what would be done about it."""

from collections.abc import Sequence
from typing import NamedTuple

from onerun.domain.cleanup.inventory import Experiment
from onerun.domain.text import age, size

REBUILT = "python -m flows.rescue --from THE_FOLDER --to A_DATABASE --apply rebuilds it there"
# kind -> what it is, what is done about it
KINDS = {
    "run-without-experiment": (
        "run whose experiment is missing",
        "python -m flows.rescue --repair --to THE_DATABASE --apply gives it one again",
    ),
    "dead-running": (
        "run with status RUNNING whose training is dead",
        "python -m flows.reconcile ends it",
    ),
    "deleted-run-files": (
        "deleted run that still holds artifacts",
        "a policy with action: hard_delete removes them",
    ),
    "deleted-experiment-files": (
        "deleted experiment that still holds artifacts",
        "a policy with action: hard_delete removes them",
    ),
    "model-without-run": (
        "orphaned logged model: its run is missing",
        "its files are moved into quarantine by action: hard_delete unless a version needs them",
    ),
    "prefix-without-owner": (
        "orphaned artifacts: no run, model or trace of that name",
        "moved into quarantine by action: hard_delete",
    ),
    "version-without-files": (
        "registered version whose files are missing",
        "left: restore it from an archive",
    ),
    "alias-to-nothing": (
        "alias of a version that does not exist",
        "left: move it by onerun promote --to",
    ),
    "duplicate-parameter": (
        "parameters whose names differ by case only",
        "left: the run is as it was logged",
    ),
    "conflicting-parameter": (
        "parameter that a later attempt logged differently",
        "left: both values stand on the run",
    ),
    "experiment-without-meta": ("experiment folder without meta.yaml", REBUILT),
    "experiment-with-broken-meta": ("experiment whose meta.yaml cannot be read", REBUILT),
    "run-without-meta": ("run folder without meta.yaml", REBUILT),
    "run-with-broken-meta": ("run whose meta.yaml cannot be read", REBUILT),
    "run-twice": (
        "run that lies in several experiments",
        "left, all of them: move those out that are copies",
    ),
    "experiment-twice": (
        "two experiments of one id or name",
        "left, with all that has the same id: move one out, or rename it",
    ),
    "stray": (
        "something in the store that is nothing of MLflow's",
        "left: move it out of the store",
    ),
    "folder-of-something-else": (
        "folder in the store that is no experiment",
        "left: move it out of the store",
    ),
    "model-without-meta": ("logged model whose meta.yaml cannot be read", REBUILT),
    "unreadable-part": (
        "part of an experiment, run or registered model that cannot be read",
        "python -m flows.rescue saves the rest",
    ),
    "beyond-a-database": (
        "value that MLflow reads and no database holds",
        "left: python -m flows.rescue cuts or drops it",
    ),
    "old-work-folder": (
        "work folder of a training that ended",
        "a policy with action: hard_delete removes it",
    ),
    "unused-snapshot": (
        "snapshot that no run names",
        "a policy with action: hard_delete and snapshots.action: remove removes it",
    ),
    "old-lock-files": (
        "lock files of trainings that ended",
        "a policy with action: hard_delete removes them",
    ),
    "backup-folder": (
        "backup folder that MLflow takes for an experiment",
        "left: move it out of the store",
    ),
}


ORPHANED_FOLDER, ORPHANED_MODEL = "prefix-without-owner", "model-without-run"
ABOUT_PARAMETERS = ("duplicate-parameter", "conflicting-parameter")


class Finding(NamedTuple):
    """One trouble."""

    kind: str
    id: str  # a path or an id
    bytes: int | None  # None: not known
    since: int | None  # milliseconds since 1970
    cause: str
    action: str = ""  # when it is another than the kind's usual one
    place: str = ""  # where its files lie, when the id does not say it
    experiment: Experiment | None = None  # whose artifacts these are, where a policy has to ask

    @property
    def path(self) -> str | None:
        """Return where its files lie, or would; None: it has none, or that is not known."""
        return self.place or (self.id if "/" in self.id else None)

    @property
    def title(self) -> str:
        """Return what it is."""
        return KINDS[self.kind][0]

    @property
    def remedy(self) -> str:
        """Return what would be done about it."""
        return self.action or KINDS[self.kind][1]

    def as_json(self, now: int) -> dict[str, object]:
        """Return plain values; the age in seconds."""
        seconds = None if self.since is None else max(0, now - self.since) // 1000
        return {
            "kind": self.kind, "what": self.title, "id": self.id, "path": self.path, "bytes": self.bytes,
            "age": seconds, "cause": self.cause, "action": self.remedy,
        }  # fmt: skip

    def line(self, now: int) -> str:
        """Return one line for a person."""
        old = "" if self.since is None else f", {age(max(0, now - self.since))} old"
        large = "" if self.bytes is None else f", {size(self.bytes)}"
        at = f" at {self.place}" if self.place else ""
        return f"{self.title}: {self.id}{at} ({self.cause}{large}{old}); {self.remedy}"


def counted(findings: Sequence[Finding]) -> list[tuple[str, int, int, str]]:
    """Return what, how many, bytes, remedy; the most bytes first."""
    rows: dict[str, tuple[str, int, int, str]] = {}
    for finding in findings:
        title, count, total, remedy = rows.get(finding.kind, (finding.title, 0, 0, finding.remedy))
        rows[finding.kind] = (title, count + 1, total + (finding.bytes or 0), remedy)
    return sorted(rows.values(), key=lambda row: (-row[2], -row[1], row[0]))
