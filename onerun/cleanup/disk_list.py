"""Lists in a file without a name: the memory of a clean-up does not grow with the store."""

import pickle
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import groupby
from typing import Any, Generic, NamedTuple, Self, TypeVar

from onerun.domain.cleanup.plan import Item, Skipped

Value = TypeVar("Value")


class ExperimentPlan(NamedTuple):
    """What would be removed of one experiment, and what of it something protects."""

    location: str  # of its artifacts
    items: list[Item]
    skipped: Sequence[Skipped] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle columns, in a seventh of the time that named tuples take."""
        columns = list(zip(*self.items, strict=True)), list(zip(*self.skipped, strict=True))
        return _from_columns, (self.location, *columns)


def _from_columns(
    location: str, items: list[tuple[Any, ...]], skipped: list[tuple[Any, ...]]
) -> ExperimentPlan:
    return ExperimentPlan(
        location=location,
        items=list(map(Item._make, zip(*items, strict=True))),
        skipped=list(map(Skipped._make, zip(*skipped, strict=True))),
    )


class DiskList(Generic[Value]):
    """Values in the order in which they were added.

    The file ends with its process, however that ends.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 -- lives as long as this object
        self._ends: list[int] = []

    def close(self) -> None:
        """Remove the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def add(self, value: Value) -> None:
        """Append one value."""
        pickle.dump(value, self._file, protocol=pickle.HIGHEST_PROTOCOL)
        self._ends.append(self._file.tell())

    def __iter__(self) -> Iterator[Value]:
        """Yield all of them, one in memory at a time."""
        begin = 0
        for end in self._ends:
            self._file.seek(begin)
            yield pickle.load(self._file)  # our own file, which nobody else can open
            begin = end
        self._file.seek(0, 2)


def by_id(
    plans: Iterable[ExperimentPlan], wanted: Callable[[Item], bool]
) -> Iterator[tuple[str, Item]]:
    """Yield the wanted items in the order of their ids, families together, each with its
    experiment's location.

    Indexes of tables have that order too: so a transaction writes to a part of them, and not
    everywhere. As ids begin with a random digit, a sixteenth of the items is in memory at a time.
    """
    with ExitStack() as files:
        parts: dict[str, DiskList[ExperimentPlan]] = defaultdict(
            lambda: files.enter_context(DiskList[ExperimentPlan]())
        )
        for plan in plans:
            items = sorted(filter(wanted, plan.items), key=_order)
            for digit, some in groupby(items, key=lambda item: _order(item)[0][:1]):
                parts[digit].add(ExperimentPlan(plan.location, list(some)))
        for digit in sorted(parts):
            located = ((plan.location, item) for plan in parts[digit] for item in plan.items)
            yield from sorted(located, key=lambda each: _order(each[1]))


def _order(item: Item) -> tuple[str, str]:
    return item.family or item.id, item.id
