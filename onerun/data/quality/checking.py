"""Every expectation on every row of the snapshot, through Great Expectations."""

import gc
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from onerun.data.quality import suite
from onerun.data.quality.frames import as_frame
from onerun.data.quality.page import render
from onerun.domain.expectation_columns import columns_to_read, groups, split_by_subject
from onerun.domain.expectations import Expectation
from onerun.domain.validation import Outcome, judge

Read = Callable[[Sequence[str]], pa.Table]  # the named columns, all rows, in the snapshot's order

EXAMPLES = 20
CELLS_AT_ONCE = 20_000_000  # values in one frame: 160 MB of numbers, and several times that while they are checked
_one_at_a_time = threading.Lock()  # making a context changes a global of the library


@dataclass(frozen=True)
class Checked:
    """The outcomes in the recipe's order, and the library's own result as JSON and as a page."""

    outcomes: tuple[Outcome, ...]
    result: str
    page: str


def check(
    expectations: Sequence[Expectation], columns: Sequence[str], rows: int, read: Read, source: str
) -> Checked:
    """Checks every expectation on all rows.

    Only the columns that expectations name are read, as many at once as fit into `CELLS_AT_ONCE`, and for those that
    look at names alone no rows at all. Nothing leaves this machine.
    Raises: Mistakes when Great Expectations refuses an expectation's arguments.
    """
    with _one_at_a_time:
        made = suite.make(expectations)
        results: list[Any] = []
        for positions, frame in _frames(expectations, columns, rows, read):
            results += _validate([made[position] for position in positions], frame)
            del frame  # before the next one is read
        return _checked(expectations, sorted(results, key=suite.position), rows, source)


def _frames(
    expectations: Sequence[Expectation], columns: Sequence[str], rows: int, read: Read
) -> Iterator[tuple[list[int], Any]]:
    """Yields: positions of expectations and the frame that they need of the table, one frame at a time."""
    import pandas as pd

    about_names, about_rows = split_by_subject(expectations)
    if about_names:
        yield about_names, pd.DataFrame(columns=list(columns))
    at_once = max(1, CELLS_AT_ONCE // max(1, rows))
    for positions in groups(expectations, about_rows, columns, at_once):
        named = columns_to_read([expectations[position] for position in positions], columns)
        yield positions, as_frame(read(named) if named else pa.table({}), rows)
        if rows * len(named) > CELLS_AT_ONCE // 10:
            gc.collect()  # the library's objects refer to each other and keep the frame until then
            pa.default_memory_pool().release_unused()


def _validate(expectations: Sequence[Any], frame: Any) -> list[Any]:
    """Returns: the library's results, plain JSON values in them. An expectation that raises is a result too."""
    import great_expectations as gx
    from great_expectations.core.expectation_validation_result import (
        expectationSuiteValidationResultSchema,
    )
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("snapshot").add_dataframe_asset("table")
    batch = asset.add_batch_definition_whole_dataframe("all rows").get_batch({"dataframe": frame})
    how = {"result_format": "SUMMARY", "partial_unexpected_count": EXAMPLES}
    result = batch.validate(
        gx.ExpectationSuite(name="recipe", expectations=list(expectations)), result_format=how
    )
    # Through JSON: its page renderer reads numbers by their repr, which numpy 2 writes as np.float64(1.5).
    plain = json.loads(json.dumps(result.to_json_dict(), default=str), parse_constant=str)
    return list(expectationSuiteValidationResultSchema.load(plain)["results"])


def _checked(
    expectations: Sequence[Expectation], results: Sequence[Any], rows: int, source: str
) -> Checked:
    from great_expectations.core.expectation_validation_result import (
        ExpectationSuiteValidationResult,
    )

    held = sum(bool(result.success) for result in results)
    statistics = {
        "evaluated_expectations": len(results),
        "successful_expectations": held,
        "unsuccessful_expectations": len(results) - held,
        "success_percent": 100 * held / len(results),
    }
    whole = ExpectationSuiteValidationResult(
        success=held == len(results),
        results=list(results),
        suite_name="recipe",
        statistics=statistics,
        meta={},
    )
    outcomes = tuple(
        suite.outcome(entry, result) for entry, result in zip(expectations, results, strict=True)
    )
    page = render(whole, source, rows, judge(outcomes).messages)
    return Checked(outcomes, json.dumps(whole.to_json_dict(), indent=1), page)
