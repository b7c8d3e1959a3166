"""`python -m tests.guarantees.table [--write]`: the table of docs/guarantees.md, from its tests and their results."""

import argparse
import contextlib
import io
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from tests.guarantees.cells import Cell, Result, results

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "guarantees.md"
BEGIN, END = (
    "<!-- the table: written by `python -m tests.guarantees.table --write` -->",
    "<!-- end of the table -->",
)
HEAD = "| what happens | promises | state after it | corrected | within |\n|---|---|---|---|---|"


class Collected:
    """A pytest plugin that keeps what was collected."""

    def __init__(self) -> None:
        self.tests: list[tuple[str, str, Cell]] = []  # heading, test, cell

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Keeps the tests that carry a cell, under the first line of their module's docstring."""
        for item in session.items:
            mark = item.get_closest_marker("cell")
            module = item.getparent(pytest.Module)
            if mark and module:
                heading = (module.obj.__doc__ or "").partition("\n")[0].rstrip(".")
                self.tests.append((heading, item.nodeid, mark.args[0]))


def collected() -> list[tuple[str, str, Cell]]:
    """Returns: (heading, test, cell) of every test in this folder that carries a cell."""
    found = Collected()
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        code = pytest.main(
            ["--collect-only", "-qq", "-p", "no:cacheprovider", str(HERE)], plugins=[found]
        )
    if code != pytest.ExitCode.OK:
        raise SystemExit(f"the tests of {HERE} cannot be collected:\n{told.getvalue()}")
    return found.tests


def table(tests: Sequence[tuple[str, str, Cell]], came: dict[str, Result]) -> str:
    """Returns: Markdown, a table per heading, a row per cell."""
    lines: list[str] = []
    for heading in dict.fromkeys(heading for heading, _, _ in tests):
        lines += ["", f"### {heading}", "", HEAD]
        rows: dict[Cell, list[str]] = {}
        for of, test, cell in tests:
            if of == heading:
                rows.setdefault(cell, []).append(test)
        lines += [row(cell, [came.get(test) for test in names]) for cell, names in rows.items()]
    return "\n".join(lines).strip() + "\n"


def row(cell: Cell, came: Iterable[Result | None]) -> str:
    """Returns: the cell as a line of the table; the longest recovery counts."""
    known = list(came)
    seconds = [second for result in known if result for second in result.seconds]
    within = (
        f"{max(seconds):.0f} s"
        if seconds and max(seconds) >= 1
        else "under 1 s"
        if seconds
        else "at once"
    )
    if None in known:
        within = "not run"
    if any(result and not result.passed for result in known):
        within = "**BROKEN**"
    return f"| {cell.fault} | {cell.promises} | {cell.left} | {cell.put_right} | {within} |"


def written(page: str, text: str) -> str:
    """Returns: the page with `text` between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{text}\n{END}{after}"


def main(arguments: Sequence[str]) -> int:
    """Print the table, or write it into the page. Returns: 1 when a cell is broken or was not run."""
    parser = argparse.ArgumentParser(prog="python -m tests.guarantees.table", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write it into docs/guarantees.md")
    asked = parser.parse_args(arguments)
    tests, came = collected(), results()
    text = table(tests, came)
    if asked.write:
        PAGE.write_text(written(PAGE.read_text(), text))
    print(text)
    for result in came.values():
        if not result.passed:
            print(f"BROKEN {result.test}\n{result.why}\n")
    good = [test for _, test, _ in tests if test in came and came[test].passed]
    print(f"{len(good)} of {len(tests)} tests hold, {len({cell for _, _, cell in tests})} cells")
    return 0 if len(good) == len(tests) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
