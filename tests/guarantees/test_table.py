"""The table in the documentation has every cell of the code, and no other."""

import pytest

from tests.guarantees.cells import Cell, Result
from tests.guarantees.table import BEGIN, END, PAGE, collected, row, table, written


def rows(text: str) -> list[tuple[str, ...]]:
    """Returns: the cells as the table has them, without what was measured."""
    lines = [
        line
        for line in text.splitlines()
        if line.startswith("| ") and not line.startswith("| what happens")
    ]
    return [tuple(part.strip() for part in line.strip("|").split(" | ")[:4]) for line in lines]


@pytest.mark.fast
def test_the_page_has_every_cell() -> None:
    page = PAGE.read_text()
    inside = page.partition(BEGIN)[2].partition(END)[0]
    assert rows(inside) == rows(table(collected(), {})), "run make guarantees TABLE=--write"
    assert "BROKEN" not in inside


CELL = Cell("P1", "something dies", "a run", "by a retry")


@pytest.mark.fast
@pytest.mark.parametrize(
    ("came", "within"),
    [
        ([], "not run"),
        ([Result("t", CELL, True, [], 9.0)], "at once"),
        ([Result("t", CELL, True, [0.2], 9.0)], "under 1 s"),
        ([Result("t", CELL, True, [3.2, 12.4], 20.0)], "12 s"),
        ([Result("t", CELL, False, [3.2], 9.0)], "**BROKEN**"),
    ],
)
def test_a_row_tells_how_it_went(came: list[Result], within: str) -> None:
    assert row(CELL, came or [None]).endswith(f"| {within} |")


@pytest.mark.fast
def test_what_stands_around_the_table_stays() -> None:
    assert (
        written(f"before\n{BEGIN}\nold\n{END}\nafter", "new")
        == f"before\n{BEGIN}\n\nnew\n{END}\nafter"
    )
