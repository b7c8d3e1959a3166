"""Every expectation on every row of the snapshot, through Great Expectations; its results as our
own types and as a page.
"""

import gc
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from onerun.config.mistakes import Mistake, Mistakes
from onerun.domain.expectations import (
    Example,
    Expectation,
    ExpectationResult,
    columns_to_read,
    groups,
    split_by_subject,
    summarise,
)

if TYPE_CHECKING:
    import pandas as pd


POSITION = (
    "position in the recipe"  # kept in an expectation's meta: results come back in another order
)


def build_expectations(expectations: Sequence[Expectation]) -> list[Any]:
    """Return the expectations as the library's objects.

    Raises:
        Mistakes: The library refuses arguments that `onerun.domain.expectations` accepts.
    """
    from great_expectations.compatibility.pydantic import ValidationError

    made, mistakes = [], []
    for position, expectation in enumerate(expectations):
        [(name, arguments)] = expectation.items()
        try:
            made.append(_build(name, arguments, position))
        except ValidationError as error:
            reasons = "; ".join(sorted({part["msg"] for part in error.errors()}))
            key = f"data.expectations.{position}.{name}"
            mistakes.append(Mistake(key, f"Great Expectations refuses it: {reasons}"))
    if mistakes:
        raise Mistakes(mistakes)
    return made


def _build(name: str, arguments: Mapping[str, Any], position: int) -> Any:
    from great_expectations.expectations.registry import get_expectation_impl

    given = dict(arguments)
    if given.get("row_condition"):
        given.setdefault("condition_parser", "pandas")
    for key in ("min_value", "max_value"):
        if key in given:
            given[key] = _instant(given[key])
    given["meta"] = {**(given.get("meta") or {}), POSITION: position}
    return get_expectation_impl(name)(**given)


def _instant(bound: Any) -> Any:
    """Return a day as its first moment, as text: the library reads days as dates, which pandas
    cannot compare.
    """
    if isinstance(bound, str | date):
        moment = datetime.fromisoformat(str(bound))
        if moment.tzinfo:
            moment = moment.astimezone(UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")
    return bound


def recipe_position(result: Any) -> int:
    """Return the position in the recipe of the expectation that a result belongs to."""
    return int(result.expectation_config.meta[POSITION])


def expectation_result(expectation: Expectation, result: Any) -> ExpectationResult:
    """Return the library's result as our own type."""
    [(name, arguments)] = expectation.items()
    found = result.result or {}
    values = found.get("partial_unexpected_list", [])
    rows = found.get("partial_unexpected_index_list") or []
    examples = [Example(value=value, row=row + 1) for value, row in zip(values, rows, strict=False)]
    return ExpectationResult(
        type=name,
        arguments=dict(arguments),
        severity=arguments.get("severity", "critical"),
        held=bool(result.success),
        rows=found.get("element_count"),
        unexpected=found.get("unexpected_count"),
        examples=tuple(examples),
        observed=found.get("observed_value"),
        error=_error_message(result.exception_info),
    )


def _error_message(info: Mapping[str, Any] | None) -> str | None:
    """Return the messages of an expectation's exceptions, or None: the library keeps them in one of
    two forms.
    """
    if not info:
        return None
    messages = {}
    for part in (info, *info.values()):
        if isinstance(part, Mapping) and part.get("exception_message"):
            messages[part["exception_message"]] = True
    return "; ".join(messages) or None


def as_frame(table: pa.Table, rows: int) -> "pd.DataFrame":
    """Return a (rows, columns of `table`) frame, days and instants as timestamps; the table is
    consumed.
    """
    import pandas as pd

    if not table.num_columns:
        return pd.DataFrame(index=pd.RangeIndex(rows))
    frame: pd.DataFrame = plain(table).to_pandas(
        split_blocks=True, self_destruct=True, date_as_object=False
    )
    return frame


def plain(table: pa.Table) -> pa.Table:
    """Replace dictionaries by their values, decimals by floats, instants by UTC: every expectation
    understands these.

    Dictionaries are not kept as categories: those count levels that no row has, which changes the
    results.
    """
    for position, field in enumerate(table.schema):
        kind = field.type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if pa.types.is_decimal(kind):
            kind = pa.float64()
        if pa.types.is_timestamp(kind):
            kind = pa.timestamp(kind.unit)  # in UTC
        if kind != field.type:
            table = table.set_column(position, field.name, table.column(position).cast(kind))
    return table


PAGES = Path(__file__).parent / "pages"


def render_page(whole: Any, source: str, rows: int, lines: Sequence[str]) -> str:
    """Return an ExpectationSuiteValidationResult as a page that loads and runs nothing.

    It begins with `lines`, one for each expectation that does not hold; then come the library's own
    sections.

    The library's page brings styles, scripts and a logo from the internet, the logo with the
    context's id.
    """
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView
    from jinja2 import ChoiceLoader, FileSystemLoader

    view = DefaultJinjaPageView()
    view.env.loader = ChoiceLoader([FileSystemLoader(PAGES), view.env.loader])
    document = ValidationResultsPageRenderer().render(whole)
    facts = {"source": source, "rows": rows, "lines": lines, "expectations": len(whole.results)}
    return str(view.render(document, template="validation.j2", **facts))


Read = Callable[[Sequence[str]], pa.Table]  # the named columns, all rows, in the snapshot's order

EXAMPLES = 20
# values in one frame: 160 MB of numbers, and several times that while they are checked
CELLS_AT_ONCE = 20_000_000
_one_at_a_time = threading.Lock()  # making a context changes a global of the library


@dataclass(frozen=True)
class QualityResult:
    """The results in the recipe's order, and the library's own result as JSON and as a page."""

    outcomes: tuple[ExpectationResult, ...]
    result: str
    page: str


def check_table(
    expectations: Sequence[Expectation], columns: Sequence[str], rows: int, read: Read, source: str
) -> QualityResult:
    """Check every expectation on all rows.

    Only the columns that expectations name are read, as many at once as fit into `CELLS_AT_ONCE`;
    an expectation about column names reads no rows. Nothing is sent anywhere.

    Args:
        expectations: Of the recipe.
        columns: All columns of the table, in order.
        rows: How many rows the table has.
        read: Returns the named columns.
        source: Where the table came from, for the page.

    Raises:
        Mistakes: Great Expectations refuses an expectation's arguments.
    """
    with _one_at_a_time:
        made = build_expectations(expectations)
        results: list[Any] = []
        for positions, frame in _frames(expectations, columns, rows, read):
            results += _validate([made[position] for position in positions], frame)
            del frame  # before the next one is read
        return _checked(expectations, sorted(results, key=recipe_position), rows, source)


def _frames(
    expectations: Sequence[Expectation], columns: Sequence[str], rows: int, read: Read
) -> Iterator[tuple[list[int], Any]]:
    """Yield positions of expectations and the frame that they need of the table, one frame at a
    time.
    """
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
    """Return the library's results with plain JSON values. An expectation that raises is a result
    too.
    """
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
    # Through JSON: its page renderer shows the repr of numbers, in numpy 2 np.float64(1.5).
    plain = json.loads(json.dumps(result.to_json_dict(), default=str), parse_constant=str)
    return list(expectationSuiteValidationResultSchema.load(plain)["results"])


def _checked(
    expectations: Sequence[Expectation], results: Sequence[Any], rows: int, source: str
) -> QualityResult:
    from great_expectations.core.expectation_validation_result import (
        ExpectationSuiteValidationResult,
    )

    passed = sum(bool(result.success) for result in results)
    statistics = {
        "evaluated_expectations": len(results),
        "successful_expectations": passed,
        "unsuccessful_expectations": len(results) - passed,
        "success_percent": 100 * passed / len(results),
    }
    whole = ExpectationSuiteValidationResult(
        success=passed == len(results),
        results=list(results),
        suite_name="recipe",
        statistics=statistics,
        meta={},
    )
    outcomes = tuple(
        expectation_result(entry, result)
        for entry, result in zip(expectations, results, strict=True)
    )
    page = render_page(whole, source, rows, summarise(outcomes).messages)
    return QualityResult(outcomes, json.dumps(whole.to_json_dict(), indent=1), page)
