"""Every expectation on every row of the snapshot, through Great Expectations."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from domain.expectations import Expectation, columns_to_read
from domain.validation import Example, Outcome, judge
from settings.mistakes import Mistake, Mistakes
from tasks.quality.frames import as_frame
from tasks.quality.page import render

if TYPE_CHECKING:
    import pyarrow as pa

Read = Callable[[Sequence[str]], "pa.Table"]  # the named columns, all rows, in the snapshot's order

EXAMPLES = 20
CELLS_AT_ONCE = 40_000_000  # values in one frame: about 320 MB of numbers, and up to three times that while checking
POSITION = "position in the recipe"  # kept in an expectation's meta: results come back in another order
_one_at_a_time = threading.Lock()  # making a context changes a global of the library


@dataclass(frozen=True)
class Checked:
    """The outcomes in the recipe's order, and the library's own result as JSON and as a page."""

    outcomes: tuple[Outcome, ...]
    result: str
    page: str


def check(expectations: Sequence[Expectation], columns: Sequence[str], rows: int, read: Read, source: str) -> Checked:
    """Checks every expectation on all rows.

    Only the columns that expectations name are read, and so many at once as fit into `CELLS_AT_ONCE`; the frame that
    stands for the table has the other columns too, as empty views without memory. Nothing leaves this machine.
    Raises: Mistakes when Great Expectations refuses an expectation's arguments.
    """
    with _one_at_a_time:
        made = _make(expectations)
        results = []
        for positions in _groups(expectations, columns, rows):
            named = _named([expectations[position] for position in positions], columns)
            results += _validate([made[position] for position in positions], as_frame(read(named), columns, rows))
        results.sort(key=lambda result: result.expectation_config.meta[POSITION])
        return _checked(expectations, results, rows, source)


def _make(expectations: Sequence[Expectation]) -> list[Any]:
    from great_expectations.compatibility.pydantic import ValidationError
    from great_expectations.expectations.registry import get_expectation_impl

    made, mistakes = [], []
    for position, expectation in enumerate(expectations):
        [(name, arguments)] = expectation.items()
        meta = {**(arguments.get("meta") or {}), POSITION: position}
        ours = {"condition_parser": "pandas"} if arguments.get("row_condition") else {}
        bounds = {key: _instant(arguments[key]) for key in ("min_value", "max_value") if key in arguments}
        try:
            made.append(get_expectation_impl(name)(**{**ours, **arguments, **bounds, "meta": meta}))
        except ValidationError as error:
            told = "; ".join(sorted({part["msg"] for part in error.errors()}))
            mistakes.append(Mistake(f"data.expectations.{position}.{name}", f"Great Expectations says: {told}"))
    if mistakes:
        raise Mistakes(mistakes)
    return made


def _instant(bound: Any) -> Any:
    """A day becomes its first moment, as text: the library reads days as dates, which pandas compares with nothing."""
    if isinstance(bound, str | date):
        moment = datetime.fromisoformat(str(bound))
        moment = moment.astimezone(UTC) if moment.tzinfo else moment
        return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")
    return bound


def _named(expectations: Sequence[Expectation], columns: Sequence[str]) -> list[str]:
    named = {column for entry in expectations for name, arguments in entry.items()
             for column in columns_to_read(name, arguments, columns)}  # fmt: skip
    return [column for column in columns if column in named]


def _groups(expectations: Sequence[Expectation], columns: Sequence[str], rows: int) -> Iterator[list[int]]:
    """Yields: positions of expectations whose columns fit into memory together; those of like columns side by side."""
    order = sorted(range(len(expectations)), key=lambda position: _named([expectations[position]], columns))
    group: list[int] = []
    for position in order:
        together = _named([expectations[other] for other in [*group, position]], columns)
        if group and len(together) * rows > CELLS_AT_ONCE:
            yield group
            group = []
        group.append(position)
    if group:
        yield group


def _validate(expectations: Sequence[Any], frame: Any) -> list[Any]:
    """Returns: the library's results, plain JSON values in them. An expectation that raises is a result too."""
    import great_expectations as gx
    from great_expectations.core.expectation_validation_result import expectationSuiteValidationResultSchema
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("snapshot").add_dataframe_asset("table")
    batch = asset.add_batch_definition_whole_dataframe("all rows").get_batch({"dataframe": frame})
    suite = gx.ExpectationSuite(name="recipe", expectations=list(expectations))
    how = {"result_format": "SUMMARY", "partial_unexpected_count": EXAMPLES}
    result = batch.validate(suite, result_format=how)
    # Through JSON: its page renderer reads numbers by their repr, which numpy 2 writes as np.float64(1.5).
    plain = json.loads(json.dumps(result.to_json_dict(), default=str), parse_constant=str)
    return list(expectationSuiteValidationResultSchema.load(plain)["results"])


def _checked(expectations: Sequence[Expectation], results: Sequence[Any], rows: int, source: str) -> Checked:
    from great_expectations.core.expectation_validation_result import ExpectationSuiteValidationResult

    held = sum(bool(result.success) for result in results)
    statistics = {
        "evaluated_expectations": len(results),
        "successful_expectations": held,
        "unsuccessful_expectations": len(results) - held,
        "success_percent": 100 * held / len(results),
    }
    whole = ExpectationSuiteValidationResult(
        success=held == len(results), results=list(results), suite_name="recipe", statistics=statistics, meta={}
    )
    outcomes = tuple(_outcome(entry, result) for entry, result in zip(expectations, results, strict=True))
    page = render(whole, source, rows, judge(outcomes).messages)
    return Checked(outcomes, json.dumps(whole.to_json_dict(), indent=1), page)


def _outcome(expectation: Expectation, result: Any) -> Outcome:
    [(name, arguments)] = expectation.items()
    found = result.result or {}
    values, places = found.get("partial_unexpected_list", []), found.get("partial_unexpected_index_list") or []
    return Outcome(
        type=name,
        arguments=dict(arguments),
        severity=arguments.get("severity", "critical"),
        held=bool(result.success),
        rows=found.get("element_count"),
        unexpected=found.get("unexpected_count"),
        examples=tuple(Example(value=v, row=place + 1) for v, place in zip(values, places, strict=False)),
        observed=found.get("observed_value"),
        error=_error(result.exception_info),
    )


def _error(info: Mapping[str, Any] | None) -> str | None:
    """Returns: the words of the exception, in whichever of its two forms the library tells it."""
    told = [info, *info.values()] if info else []
    words = [part["exception_message"] for part in told if isinstance(part, Mapping) and part.get("exception_message")]
    return "; ".join(dict.fromkeys(words)) or None
