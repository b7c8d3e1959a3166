"""What is read from a store, in a file without a name: the memory of a clean-up does not grow with the store."""

import pickle
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import groupby
from typing import Any, Generic, NamedTuple, Self, TypeVar

from onerun.domain.cleanup.plan import Item, Kept

Value = TypeVar("Value")


class Share(NamedTuple):
    """What would go of one experiment, and what is kept of it against the rule."""

    location: str  # of its artifacts
    items: list[Item]
    kept: Sequence[Kept] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        """Columns are written in a seventh of the time that named tuples take."""
        return _share, (
            self.location,
            list(zip(*self.items, strict=True)),
            list(zip(*self.kept, strict=True)),
        )


def _share(location: str, items: list[tuple[Any, ...]], kept: list[tuple[Any, ...]]) -> Share:
    rows = zip(*items, strict=True), zip(*kept, strict=True)
    return Share(location, list(map(Item._make, rows[0])), list(map(Kept._make, rows[1])))


class Spool(Generic[Value]):
    """Values in the order in which they were added. The file is gone with its process, however that ends."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 -- lives as long as this object
        self._ends: list[int] = []

    def close(self) -> None:
        """Nobody asks any more."""
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
        """Yields: all of them, one in memory at a time."""
        begin = 0
        for end in self._ends:
            self._file.seek(begin)
            yield pickle.load(self._file)  # our own file, which nobody else can open
            begin = end
        self._file.seek(0, 2)


def by_id(shares: Iterable[Share], wanted: Callable[[Item], bool]) -> Iterator[tuple[str, Item]]:
    """Yields: the wanted items in the order of their ids, families together, each with the location of its share.

    Indexes of tables have that order too: so a transaction writes to a part of them, and not everywhere. As ids begin
    with a random digit, a sixteenth of the items is in memory at a time.
    """
    with ExitStack() as files:
        parts: dict[str, Spool[Share]] = defaultdict(lambda: files.enter_context(Spool[Share]()))
        for share in shares:
            items = sorted(filter(wanted, share.items), key=_place)
            for digit, some in groupby(items, key=lambda item: _place(item)[0][:1]):
                parts[digit].add(Share(share.location, list(some)))
        for digit in sorted(parts):
            of_part = ((share.location, item) for share in parts[digit] for item in share.items)
            yield from sorted(of_part, key=lambda each: _place(each[1]))


def _place(item: Item) -> tuple[str, str]:
    return item.family or item.id, item.id
