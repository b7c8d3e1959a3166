"""A cell of the table in docs/guarantees.md: what is promised, what goes wrong, what is left, how it is put right."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import pytest

RESULTS = Path(__file__).parents[2] / "build" / "guarantees"
PutRight = Literal[
    "nothing to do",
    "by itself",
    "by a retry",
    "by the reconciler",
    "by the next start",
    "by a person",
]
Test = TypeVar("Test", bound=Callable[..., Any])


@dataclass(frozen=True)
class Cell:
    """One row. Tests that carry equal cells share a row."""

    promises: str  # their numbers, such as "P1 P2"
    fault: str  # what is done, to what, when
    left: str  # what is there right after the fault
    put_right: PutRight

    def __post_init__(self) -> None:
        assert self.put_right in get_args(PutRight), self.put_right
        assert all(
            promise in {f"P{number}" for number in range(1, 9)} for promise in self.promises.split()
        )


def cell(promises: str, fault: str, left: str, put_right: PutRight) -> pytest.MarkDecorator:
    """Returns: the mark of a test (or of a `pytest.param`) that shows the cell."""
    return pytest.mark.cell(Cell(promises, fault, left, put_right))


@dataclass
class Recovery:
    """`with recovery:` around what puts the fault right: its seconds stand in the table."""

    seconds: list[float] = field(default_factory=list)

    def __enter__(self) -> "Recovery":
        self._begun = time.monotonic()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.seconds.append(time.monotonic() - self._begun)


@dataclass(frozen=True)
class Result:
    """What a test of a cell came to."""

    test: str
    cell: Cell
    passed: bool
    seconds: list[float]  # of recovery
    took: float  # seconds of the whole test
    why: str = ""  # it did not pass

    def write(self) -> None:
        """A file per test, so that tests which run side by side do not meet."""
        RESULTS.mkdir(parents=True, exist_ok=True)
        name = "".join(
            letter if letter.isalnum() else "-"
            for letter in self.test.removeprefix("tests/guarantees/")
        )
        (RESULTS / f"{name[:200]}.json").write_text(
            json.dumps(asdict(self), ensure_ascii=False) + "\n"
        )


def results() -> dict[str, Result]:
    """Returns: test -> its last result."""
    read = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    return {entry["test"]: Result(**{**entry, "cell": Cell(**entry["cell"])}) for entry in read}
