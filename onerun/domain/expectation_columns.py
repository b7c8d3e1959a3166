"""Which columns an expectation needs, and which expectations share a reading of the table."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from onerun.domain.expectations import Expectation

COLUMN_ARGUMENTS = ("column", "column_A", "column_B", "column_list")


def is_about_names(name: str) -> bool:
    """Returns: whether the expectation looks at the table's column names alone, not at rows."""
    return name == "expect_column_to_exist" or name.startswith("expect_table_column")


def columns_of(name: str, arguments: Mapping[str, Any]) -> list[str]:
    """Returns: the columns that must be there for the expectation to say anything about their values."""
    if is_about_names(name):
        return []
    values = [arguments[argument] for argument in COLUMN_ARGUMENTS if argument in arguments]
    return [column for value in values for column in ([value] if isinstance(value, str) else value)]


def columns_to_read(expectations: Iterable[Expectation], columns: Sequence[str]) -> list[str]:
    """Returns: those of `columns`, in their order, whose values the expectations or their row conditions name."""
    named: set[str] = set()
    for expectation in expectations:
        for name, arguments in expectation.items():
            condition = "" if is_about_names(name) else arguments.get("row_condition") or ""
            named |= {
                *columns_of(name, arguments),
                *(column for column in columns if column in condition),
            }
    return [column for column in columns if column in named]


def split_by_subject(expectations: Sequence[Expectation]) -> tuple[list[int], list[int]]:
    """Returns: positions of the expectations about names, and of those about rows."""
    about_names = [
        position for position, entry in enumerate(expectations) if all(map(is_about_names, entry))
    ]
    return about_names, [
        position for position in range(len(expectations)) if position not in about_names
    ]


def groups(
    expectations: Sequence[Expectation],
    positions: Sequence[int],
    columns: Sequence[str],
    at_once: int,
) -> Iterator[list[int]]:
    """Yields: the positions in groups that need no more than `at_once` columns together, like columns side by side.

    An expectation that needs more than that by itself is a group of its own.
    """
    group: list[int] = []
    for position in sorted(
        positions, key=lambda position: columns_to_read([expectations[position]], columns)
    ):
        together = columns_to_read([expectations[other] for other in [*group, position]], columns)
        if group and len(together) > at_once:
            yield group
            group = []
        group.append(position)
    if group:
        yield group
