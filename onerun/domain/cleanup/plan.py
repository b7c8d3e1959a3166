"""The plan: what would be done, why, how many bytes; and how much of it is allowed."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal, NamedTuple

from onerun.domain.text import size

ItemKind = Literal["run", "experiment"]
AIM = 1.0  # seconds of one transaction: nobody else can write to SQLite meanwhile
LEAST, MOST = 50, 8_000  # runs of one transaction
SHOWN = 200  # items of each kind that a plan keeps to show; all of them stand in its list


class Item(NamedTuple):
    """One thing that would go."""

    kind: ItemKind
    id: str
    name: str
    experiment_id: str
    experiment: str
    why: str
    bytes: int | None  # None: not known
    prefixes: tuple[str, ...] = ()  # the folders that go with it
    lifecycle: str = "active"
    family: str = ""  # the topmost run of its family: a family goes in one transaction
    inside: int = 0  # runs that go with a damaged experiment
    ended: int | None = (
        None  # when the run ended: one that ends again has something that no archive holds
    )


class Kept(NamedTuple):
    """One run that a rule let go and somebody protects."""

    id: str
    experiment: str
    why: str
    protected_by: str


@dataclass
class Plan:
    """Totals and examples; grows with the number of experiments and reasons, not with the number of runs."""

    policy: str
    action: str
    at: int
    runs: int = 0  # in the store
    experiments: int = 0
    going: int = 0
    going_experiments: int = 0
    inside: int = 0  # of the runs that go, those in damaged experiments
    aside: int = 0  # folders that nobody owns, and would be set aside
    bytes: int = 0
    unmeasured: int = 0
    by_experiment: dict[str, list[int]] = field(
        default_factory=dict
    )  # name -> runs, going, protected, bytes
    protected: Counter[str] = field(default_factory=Counter)  # kind of protection -> runs
    items: list[Item] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)

    def add_group(self, experiment: str, runs: int) -> None:
        """Count an experiment."""
        self.experiments += 1
        self.runs += runs
        self.by_experiment.setdefault(experiment, [0, 0, 0, 0])[0] += runs

    def add(self, item: Item) -> None:
        """Count what goes; a damaged experiment with the runs in it, which no group told of."""
        if item.inside:
            self.runs += item.inside
            self.going += item.inside
            self.inside += item.inside
            self.by_experiment.setdefault(item.experiment, [0, 0, 0, 0])
            for column, count in enumerate((item.inside, item.inside, 0, item.bytes or 0)):
                self.by_experiment[item.experiment][column] += count
        if item.kind == "run":
            self.going += 1
            row = self.by_experiment[item.experiment]
            row[1] += 1
            row[3] += item.bytes or 0
        else:
            self.going_experiments += 1
        self.bytes += item.bytes or 0
        self.unmeasured += item.bytes is None
        if len(self.items) < SHOWN:
            self.items.append(item)

    def add_kept(self, kept: Kept) -> None:
        """Count what is protected."""
        self.by_experiment[kept.experiment][2] += 1
        self.protected[kind_of_protection(kept.protected_by)] += 1
        if len(self.kept) < SHOWN:
            self.kept.append(kept)

    @property
    def entries(self) -> int:
        """How many items it has: a damaged experiment is one, with all that is in it."""
        return self.going - self.inside + self.going_experiments

    @property
    def amount(self) -> str:
        """What a person is asked about, in words; empty when nothing goes."""
        runs = f"{self.going:,} of {self.runs:,} runs" if self.going else ""
        whole = (
            f"{self.going_experiments:,} deleted or damaged experiments"
            if self.going_experiments
            else ""
        )
        aside = f"{self.aside:,} folders that nobody owns (set aside)" if self.aside else ""
        return " and ".join(filter(None, (runs, whole, aside)))

    def table(self) -> list[dict[str, object]]:
        """Return the experiments that lose something, for a table."""
        titles = ("runs", "would go", "protected")
        return [
            {"experiment": name, **dict(zip(titles, row[:3], strict=True)), "bytes": size(row[3])}
            for name, row in self.by_experiment.items()
            if row[1] or row[2]
        ]

    def as_json(self) -> dict[str, object]:
        """Returns: plain values."""
        return {
            "policy": self.policy, "action": self.action, "at": self.at, "runs": self.runs,
            "experiments": self.experiments, "going": self.going, "going_experiments": self.going_experiments,
            "aside": self.aside,
            "bytes": self.bytes, "unmeasured": self.unmeasured, "protected": dict(self.protected),
            "by_experiment": {
                name: dict(zip(("runs", "going", "protected", "bytes"), row, strict=True))
                for name, row in self.by_experiment.items()
            },
            "items": [item._asdict() for item in self.items],
            "kept": [kept._asdict() for kept in self.kept],
        }  # fmt: skip


def kind_of_protection(words: str) -> str:
    """Returns: the kind of a reason, so that thousands of them can be counted."""
    if words.startswith("parent or child"):
        return "parent or child of a kept run"
    as_it_is = ("tag ", "reads ", "its flow run", "has a parent", "protect.", "lies ")
    if words.startswith("measured "):
        return "measured a registered model"
    if words.startswith("issue "):
        return "named by an issue"
    return (
        words
        if words.startswith(as_it_is)
        else "logged model"
        if words.startswith("logged model")
        else "registered"
    )


def too_much(plan: Plan, max_delete: float) -> str | None:
    """Returns: why the plan is refused without --yes-really; None: it is within the limit."""
    going, of = (
        plan.going + plan.aside,
        plan.runs + plan.aside,
    )  # another database's files look like nobody's
    nothing = max_delete == 0 and plan.amount  # 0% is said by who wants nothing deleted at all
    if plan.action == "quarantine" or (going <= max_delete * of and not nothing):
        return None
    share = going / max(1, of)
    return (
        f"the plan deletes {plan.amount} ({share:.0%}, {size(plan.bytes)}), and max_delete is "
        f"{max_delete:.0%}; look at the plan, change the policy, or say --yes-really"
    )


def ordered(items: Iterable[Item], parents: Mapping[str, str]) -> list[Item]:
    """Returns: the items with parents and children side by side, and their family named."""
    items = list(items)
    place = {item.id: position for position, item in enumerate(items)}
    related = {run for item in items if item.id in parents for run in (item.id, parents[item.id])}
    if not related:
        return items
    named = [
        item._replace(family=_topmost(item.id, parents, place)) if item.id in related else item
        for item in items
    ]
    return sorted(named, key=lambda item: (place[item.family or item.id], place[item.id]))


def _topmost(run: str, parents: Mapping[str, str], inside: Mapping[str, int]) -> str:
    """The topmost ancestor that goes too; of runs that claim each other as parent, the smallest id."""
    path = [run]
    while (parent := parents.get(path[-1], "")) in inside:
        if parent in path:
            return min(path[path.index(parent) :])
        path.append(parent)
    return path[-1]


def by_family(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Yields: the items in their order, those of one family together."""
    for _, family in groupby(items, key=lambda item: item.family or item.id):
        yield list(family)


@dataclass
class Pace:
    """How many runs one transaction takes: many are cheaper, but others cannot write to SQLite meanwhile.

    What a run costs depends on its history and the disk; so the next transaction follows from what the last one took.
    """

    at_once: int = 250

    def took(self, seconds: float, runs: int) -> None:
        """The next one takes about a second; it is at most eight times as large, and never takes more than 8,000."""
        fitting = int(runs * AIM / max(seconds, 0.001))
        self.at_once = max(LEAST, min(fitting, 8 * runs, MOST))


def batches(items: Iterable[Item], pace: Pace) -> Iterator[list[Item]]:
    """Yields: the items in their order, about so many at a time as the pace says; a family is never torn apart."""
    batch: list[Item] = []
    for item in items:
        if len(batch) >= pace.at_once and (not item.family or item.family != batch[-1].family):
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch
