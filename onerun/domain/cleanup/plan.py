"""The plan: what would be done, why, how many bytes; and how much of it is allowed."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal, NamedTuple

from onerun.domain.cleanup.families import inside, topmost
from onerun.domain.cleanup.reason import Reason
from onerun.domain.text import size

ItemKind = Literal["run", "experiment"]
AIM = 1.0  # seconds of one transaction: nothing else can write to SQLite meanwhile
LEAST, MOST = 50, 8_000  # runs of one transaction
LITTER_TITLE = "work folders, snapshots and lock files of trainings that ended"
SHOWN = 200  # items of each kind that a plan keeps to show; its list has all of them


class Item(NamedTuple):
    """One thing that would be removed.

    bytes: None where they are not known. prefixes: the folders that are removed with it. family:
    the topmost run of its family, which is changed in one transaction. inside: runs that are
    removed with a damaged experiment. ended: when the run ended: one that ends again has something
    that no archive holds.
    """

    kind: ItemKind
    id: str
    name: str
    experiment_id: str
    experiment: str
    why: str
    bytes: int | None
    prefixes: tuple[str, ...] = ()
    lifecycle: str = "active"
    family: str = ""
    inside: int = 0
    ended: int | None = None


class Skipped(NamedTuple):
    """One run that no rule keeps and something protects."""

    id: str
    experiment: str
    why: str
    protected_by: Reason

    def as_json(self) -> dict[str, str]:
        """Return plain values."""
        return self._asdict() | {"protected_by": str(self.protected_by)}


@dataclass(slots=True)
class Totals:
    """What a plan comes to for one experiment."""

    runs: int = 0
    to_delete: int = 0
    protected: int = 0
    bytes: int = 0


@dataclass
class Plan:
    """Totals and examples; grows with the number of experiments and reasons, not with the number of
    runs.

    runs, experiments: in the store. to_delete: runs, those in damaged experiments (`inside`)
    included. experiments_to_delete: deleted and damaged ones. quarantined: orphaned folders that
    would be moved into quarantine. unmeasured: items whose bytes are not known. litter: work
    folders, snapshots and kinds of lock files. protected: label of a reason -> runs.
    """

    policy: str
    action: str
    at: int
    runs: int = 0
    experiments: int = 0
    to_delete: int = 0
    experiments_to_delete: int = 0
    inside: int = 0
    quarantined: int = 0
    bytes: int = 0
    unmeasured: int = 0
    litter: int = 0
    litter_bytes: int = 0
    by_experiment: dict[str, Totals] = field(default_factory=dict)  # by name
    protected: Counter[str] = field(default_factory=Counter)
    items: list[Item] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    def add_group(self, experiment: str, runs: int) -> None:
        """Count an experiment."""
        self.experiments += 1
        self.runs += runs
        self._totals(experiment).runs += runs

    def _totals(self, experiment: str) -> Totals:
        return self.by_experiment.setdefault(experiment, Totals())

    def add(self, item: Item) -> None:
        """Count an item; a damaged experiment with the runs in it, which no group held."""
        held = item.bytes or 0
        if item.inside:
            self.runs += item.inside
            self.to_delete += item.inside
            self.inside += item.inside
            totals = self._totals(item.experiment)
            totals.runs += item.inside
            totals.to_delete += item.inside
            totals.bytes += held
        if item.kind == "run":
            self.to_delete += 1
            totals = self._totals(item.experiment)
            totals.to_delete += 1
            totals.bytes += held
        else:
            self.experiments_to_delete += 1
        self.bytes += held
        self.unmeasured += item.bytes is None
        if len(self.items) < SHOWN:
            self.items.append(item)

    def add_skipped(self, skipped: Skipped) -> None:
        """Count what is protected."""
        self._totals(skipped.experiment).protected += 1
        self.protected[skipped.protected_by.label] += 1
        if len(self.skipped) < SHOWN:
            self.skipped.append(skipped)

    @property
    def entries(self) -> int:
        """Return how many items it has: a damaged experiment is one, with all that is in it."""
        return self.to_delete - self.inside + self.experiments_to_delete

    @property
    def amount(self) -> str:
        """Return what a person is asked about; empty when nothing would be removed."""
        parts = []
        if self.to_delete:
            parts.append(f"{self.to_delete:,} of {self.runs:,} runs")
        if self.experiments_to_delete:
            parts.append(f"{self.experiments_to_delete:,} deleted or damaged experiments")
        if self.quarantined:
            parts.append(f"{self.quarantined:,} orphaned folders (moved into quarantine)")
        if self.litter:
            parts.append(f"{self.litter:,} {LITTER_TITLE} ({size(self.litter_bytes)})")
        return " and ".join(parts)

    def table(self) -> list[dict[str, object]]:
        """Return the experiments that lose something, for a table."""
        return [
            {
                "experiment": name,
                "runs": totals.runs,
                "would go": totals.to_delete,
                "protected": totals.protected,
                "bytes": size(totals.bytes),
            }
            for name, totals in self.by_experiment.items()
            if totals.to_delete or totals.protected
        ]

    def as_json(self) -> dict[str, object]:
        """Return plain values."""
        return {
            "policy": self.policy,
            "action": self.action,
            "at": self.at,
            "runs": self.runs,
            "experiments": self.experiments,
            "going": self.to_delete,
            "going_experiments": self.experiments_to_delete,
            "aside": self.quarantined,
            "bytes": self.bytes,
            "unmeasured": self.unmeasured,
            "litter": self.litter,
            "litter_bytes": self.litter_bytes,
            "protected": dict(self.protected),
            "by_experiment": {
                name: {
                    "runs": totals.runs,
                    "going": totals.to_delete,
                    "protected": totals.protected,
                    "bytes": totals.bytes,
                }
                for name, totals in self.by_experiment.items()
            },
            "items": [item._asdict() for item in self.items],
            "kept": [skipped.as_json() for skipped in self.skipped],
        }


def too_much(plan: Plan, max_delete: float) -> str | None:
    """Return why the plan is refused without --yes-really; None: it is within the limit.

    Orphaned folders count: to a database that was made anew, all files are orphans.
    """
    removed = plan.to_delete + plan.quarantined
    of = plan.runs + plan.quarantined
    nothing_wanted = max_delete == 0 and plan.amount
    if plan.action == "quarantine" or (removed <= max_delete * of and not nothing_wanted):
        return None
    return (
        f"the plan deletes {plan.amount} ({removed / max(1, of):.0%}, {size(plan.bytes)}), and max_delete is "
        f"{max_delete:.0%}; look at the plan, change the policy, or say --yes-really"
    )


def ordered(items: Iterable[Item], parents: Mapping[str, str]) -> list[Item]:
    """Return the items with parents and children side by side, and their family named."""
    items = list(items)
    place = {item.id: position for position, item in enumerate(items)}
    related = {run for item in items if item.id in parents for run in (item.id, parents[item.id])}
    if not related:
        return items
    links = inside(parents, place.keys())
    named = [
        item._replace(family=topmost(item.id, links)) if item.id in related else item
        for item in items
    ]
    return sorted(named, key=lambda item: (place[item.family or item.id], place[item.id]))


def by_family(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Yield the items in their order, those of one family together."""
    for _, family in groupby(items, key=lambda item: item.family or item.id):
        yield list(family)


@dataclass
class BatchSizer:
    """How many runs one transaction takes: many are cheaper, but nothing else can write to SQLite
    meanwhile.

    What a run costs depends on its history and the disk; so the next transaction follows from what
    the last one took.
    """

    at_once: int = 250

    def took(self, seconds: float, runs: int) -> None:
        """Size the next one for about a second; it is at most eight times as large, and never above
        8,000.
        """
        fitting = int(runs * AIM / max(seconds, 0.001))
        self.at_once = max(LEAST, min(fitting, 8 * runs, MOST))


def batches(items: Iterable[Item], sizer: BatchSizer) -> Iterator[list[Item]]:
    """Yield the items in their order, about as many at a time as `sizer` says; a family is never
    torn apart.
    """
    batch: list[Item] = []
    for item in items:
        if len(batch) >= sizer.at_once and (not item.family or item.family != batch[-1].family):
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch
