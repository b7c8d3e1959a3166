"""Expectations of a recipe: checked without Great Expectations, the columns they need, and what their results mean.

The table of types and arguments is generated from the installed library (`python -m onerun.data.quality.types`).
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal

from onerun.config.mistakes import Mistake, did_you_mean
from onerun.domain.references import Reference, Validation

Expectation = Mapping[str, Mapping[str, Any]]  # one entry: {type: arguments}
Arguments = Mapping[str, Mapping[str, Any]]  # argument -> kinds, required, choices, least, most

RUNS_CODE = ("@", ".__")  # pandas would look up Python names in a condition


@cache
def known_types() -> dict[str, Arguments | None]:
    """Return type -> its arguments; None for types that need a database and cannot run on a table."""
    table: dict[str, Arguments | None] = json.loads(
        Path(__file__).with_suffix(".json").read_text("utf-8")
    )
    return table


def check_expectations(expectations: Sequence[Expectation]) -> list[Mistake]:
    """Return every mistake that can be told without the data, in the order of the recipe."""
    return [
        mistake
        for position, expectation in enumerate(expectations)
        for mistake in _check(f"data.expectations.{position}", expectation)
    ]


def _check(key: str, expectation: Expectation) -> list[Mistake]:
    if len(expectation) != 1:
        return [
            Mistake(
                key,
                f"expected one expectation with its arguments, found {len(expectation)}: {[*expectation]}",
            )
        ]
    [(name, arguments)] = expectation.items()
    key = f"{key}.{name}"
    if name not in known_types():
        return [
            Mistake(
                key, f"not an expectation of Great Expectations{did_you_mean(name, known_types())}"
            )
        ]
    known = known_types()[name]
    if known is None:
        return [
            Mistake(key, "needs a database and cannot check a table; choose another expectation")
        ]
    return [
        *_unknown_or_missing(key, name, arguments, known),
        *_wrong_values(key, arguments, known),
    ]


def _unknown_or_missing(
    key: str, name: str, arguments: Mapping[str, Any], known: Arguments
) -> Iterable[Mistake]:
    for argument in arguments:
        if argument not in known:
            yield Mistake(
                f"{key}.{argument}", f"not an argument of {name}{did_you_mean(argument, known)}"
            )
    for argument, rule in known.items():
        if rule.get("required") and argument not in arguments:
            yield Mistake(f"{key}.{argument}", f"missing; expected {_kinds_in_words(rule)}")


def _wrong_values(key: str, arguments: Mapping[str, Any], known: Arguments) -> Iterable[Mistake]:
    for argument, value in arguments.items():
        wrong = _wrong_value(value, known[argument]) if argument in known else None
        if wrong:
            yield Mistake(f"{key}.{argument}", wrong)
        if argument == "row_condition" and any(part in str(value) for part in RUNS_CODE):
            yield Mistake(
                f"{key}.{argument}",
                f"{value!r} could run code: a condition may not contain @ or .__",
            )
    least, most = arguments.get("min_value"), arguments.get("max_value")
    if (
        least is not None
        and most is not None
        and _is_number(least)
        and _is_number(most)
        and least > most
    ):
        yield Mistake(f"{key}.min_value", f"{least} is above max_value, {most}")
    if key.endswith("_to_be_between") and "min_value" in known and least is None and most is None:
        yield Mistake(f"{key}.min_value", "min_value, max_value or both are needed")


def _wrong_value(value: Any, rule: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the value, None when nothing is."""
    if not any(_is_kind(value, kind) for kind in rule["kinds"]):
        return f"expected {_kinds_in_words(rule)}, came {value!r}"
    choices = rule.get("choices")
    if choices and value is not None and value not in choices:
        return f"expected one of {', '.join(choices)}, came {value!r}{did_you_mean(str(value), choices)}"
    if _is_number(value) and not rule.get("least", value) <= value <= rule.get("most", value):
        return f"expected a number between {rule.get('least', '-∞')} and {rule.get('most', '∞')}, came {value!r}"
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_kind(value: Any, kind: str) -> bool:
    if kind == "number":
        return _is_number(value)
    if kind == "integer":
        return _is_number(value) and not isinstance(value, float)
    if kind == "date":
        return isinstance(value, date) or (isinstance(value, str) and _reads_as_date(value))
    types = {
        "string": str,
        "boolean": bool,
        "array": list | tuple,
        "object": dict,
        "null": type(None),
    }
    return isinstance(value, types[kind])


def _reads_as_date(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _kinds_in_words(rule: Mapping[str, Any]) -> str:
    return " or ".join(kind for kind in rule["kinds"] if kind != "null")


COLUMN_ARGUMENTS = ("column", "column_A", "column_B", "column_list")


def is_about_names(name: str) -> bool:
    """Return whether the expectation looks at the table's column names alone, not at rows."""
    return name == "expect_column_to_exist" or name.startswith("expect_table_column")


def columns_of(name: str, arguments: Mapping[str, Any]) -> list[str]:
    """Return the columns that must be there for the expectation to say anything about their values."""
    if is_about_names(name):
        return []
    values = [arguments[argument] for argument in COLUMN_ARGUMENTS if argument in arguments]
    return [column for value in values for column in ([value] if isinstance(value, str) else value)]


def columns_to_read(expectations: Iterable[Expectation], columns: Sequence[str]) -> list[str]:
    """Return those of `columns`, in their order, whose values the expectations or their row conditions name."""
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
    """Return positions of the expectations about names, and of those about rows."""
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
    """Yield the positions in groups that need no more than `at_once` columns together, like columns side by side.

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


EXAMPLES_IN_A_LINE = 5
NOT_WORTH_SAYING = ("column", "severity", "meta", "notes", "description", "condition_parser")


class Example(Reference):
    """One value that was not expected, and its row, counted from 1."""

    value: Any
    row: int


class ExpectationResult(Reference):
    """One expectation, checked."""

    type: str
    arguments: dict[str, Any]
    severity: Literal["critical", "warning", "info"] = "critical"
    held: bool
    rows: int | None = None  # looked at; None: the expectation is not about rows
    unexpected: int | None = None
    examples: tuple[Example, ...] = ()  # at most 20
    observed: Any = None  # of expectations about a whole column or table
    error: str | None = None  # the expectation could not be checked

    @property
    def stops(self) -> bool:
        """Return whether training must not begin. What could not be checked has not passed, whatever its severity."""
        return not self.held and (self.severity == "critical" or self.error is not None)


def summarise(outcomes: Sequence[ExpectationResult]) -> Validation:
    """Return the counts and the lines of those that do not hold."""
    failed = [outcome for outcome in outcomes if not outcome.held]
    critical = sum(outcome.stops for outcome in failed)
    return Validation(
        expectations=len(outcomes),
        failed_critical=critical,
        failed_warning=len(failed) - critical,
        messages=tuple(describe(outcome) for outcome in failed),
    )


def describe(outcome: ExpectationResult) -> str:
    """Return such as `latitude: expect_column_values_to_be_between(min_value=32): 12 of 20,640 rows (0.06 %) ...`."""
    told = {key: value for key, value in outcome.arguments.items() if key not in NOT_WORTH_SAYING}
    call = f"{outcome.type}({', '.join(f'{key}={value!r}' for key, value in told.items())})"
    column = outcome.arguments.get("column")
    grade = "" if outcome.severity == "critical" else f" [{outcome.severity}]"
    return f"{f'{column}: ' if column else ''}{call}{grade}: {_finding(outcome)}"


def _finding(outcome: ExpectationResult) -> str:
    if outcome.error is not None:
        return f"could not be checked: {outcome.error}"
    if outcome.unexpected is None or not outcome.rows:
        return (
            "does not hold" if outcome.observed is None else f"observed {_short(outcome.observed)}"
        )
    share = 100 * outcome.unexpected / outcome.rows
    percent = f"{share:.0f}" if share >= 10 else f"{share:.2g}" if share >= 0.001 else "< 0.001"
    counted = f"{outcome.unexpected:,} of {outcome.rows:,} rows ({percent} %) are not as expected"
    shown = [
        f"{_short(example.value)} (row {example.row:,})"
        for example in outcome.examples[:EXAMPLES_IN_A_LINE]
    ]
    more = ", ..." if outcome.unexpected > len(shown) else ""
    return f"{counted}, e.g. {', '.join(shown)}{more}" if shown else counted


def _short(value: Any) -> str:
    text = f"{value:,.10g}" if isinstance(value, int | float) else repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
