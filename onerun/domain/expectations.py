"""Expectations of a recipe: checked without Great Expectations, the columns they need, and what
their results mean.

The table of types and arguments is generated from the installed library (`python -m
onerun.data.quality.types`).
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeGuard

from onerun.config.mistakes import Mistake, did_you_mean
from onerun.domain.references import Reference, Validation

Expectation = Mapping[str, Mapping[str, Any]]  # one entry: {type: arguments}
Arguments = Mapping[str, Mapping[str, Any]]  # argument -> kinds, required, choices, least, most

RUNS_CODE = ("@", ".__")  # pandas would look up Python names in a condition


@cache
def known_types() -> dict[str, Arguments | None]:
    """Return type -> its arguments; None for types that need a database and cannot run on a
    table.
    """
    table: dict[str, Arguments | None] = json.loads(
        Path(__file__).with_suffix(".json").read_text("utf-8")
    )
    return table


def check_expectations(expectations: Sequence[Expectation]) -> list[Mistake]:
    """Return every mistake that shows without the data, in the order of the recipe."""
    mistakes: list[Mistake] = []
    for position, expectation in enumerate(expectations):
        mistakes += _check(f"data.expectations.{position}", expectation)
    return mistakes


def _check(key: str, expectation: Expectation) -> list[Mistake]:
    if len(expectation) != 1:
        found = f"{len(expectation)}: {[*expectation]}"
        return [Mistake(key, f"expected one expectation with its arguments, found {found}")]
    [(name, arguments)] = expectation.items()
    key = f"{key}.{name}"
    if name not in known_types():
        near = did_you_mean(name, known_types())
        return [Mistake(key, f"not an expectation of Great Expectations{near}")]
    known = known_types()[name]
    if known is None:
        reason = "needs a database and cannot check a table; choose another expectation"
        return [Mistake(key, reason)]
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
            yield Mistake(f"{key}.{argument}", f"missing; expected {_kinds(rule)}")


def _wrong_values(key: str, arguments: Mapping[str, Any], known: Arguments) -> Iterable[Mistake]:
    for argument, value in arguments.items():
        name = f"{key}.{argument}"
        if argument in known:
            yield from _wrong_value(name, value, known[argument])
        if argument == "row_condition" and any(part in str(value) for part in RUNS_CODE):
            reason = f"{value!r} could run code: a condition may not contain @ or .__"
            yield Mistake(name, reason)
    least, most = arguments.get("min_value"), arguments.get("max_value")
    if _is_number(least) and _is_number(most) and least > most:
        yield Mistake(f"{key}.min_value", f"{least} is above max_value, {most}")
    if key.endswith("_to_be_between") and "min_value" in known and least is None and most is None:
        yield Mistake(f"{key}.min_value", "min_value, max_value or both are needed")


def _wrong_value(key: str, value: Any, rule: Mapping[str, Any]) -> Iterable[Mistake]:
    """Yield the first mistake in the value of an argument, if there is one."""
    choices = rule.get("choices")
    if not any(_is_kind(value, kind) for kind in rule["kinds"]):
        yield Mistake(key, f"expected {_kinds(rule)}, came {value!r}")
    elif choices and value is not None and value not in choices:
        near = did_you_mean(str(value), choices)
        yield Mistake(key, f"expected one of {', '.join(choices)}, came {value!r}{near}")
    elif _is_number(value) and not rule.get("least", value) <= value <= rule.get("most", value):
        bounds = f"{rule.get('least', '-∞')} and {rule.get('most', '∞')}"
        yield Mistake(key, f"expected a number between {bounds}, came {value!r}")


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_kind(value: Any, kind: str) -> bool:
    if kind == "number":
        return _is_number(value)
    if kind == "integer":
        return _is_number(value) and not isinstance(value, float)
    if kind == "date":
        return isinstance(value, date) or (isinstance(value, str) and _is_date(value))
    types = {
        "string": str,
        "boolean": bool,
        "array": list | tuple,
        "object": dict,
        "null": type(None),
    }
    return isinstance(value, types[kind])


def _is_date(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _kinds(rule: Mapping[str, Any]) -> str:
    return " or ".join(kind for kind in rule["kinds"] if kind != "null")


COLUMN_ARGUMENTS = ("column", "column_A", "column_B", "column_list")


def is_about_names(name: str) -> bool:
    """Return whether the expectation looks at the table's column names alone, not at rows."""
    return name == "expect_column_to_exist" or name.startswith("expect_table_column")


def columns_of(name: str, arguments: Mapping[str, Any]) -> list[str]:
    """Return the columns whose values the expectation is about."""
    if is_about_names(name):
        return []
    columns: list[str] = []
    for argument in COLUMN_ARGUMENTS:
        value = arguments.get(argument, ())
        columns += [value] if isinstance(value, str) else value
    return columns


def columns_to_read(expectations: Iterable[Expectation], columns: Sequence[str]) -> list[str]:
    """Return those of `columns`, in their order, that the expectations or their row conditions
    name.
    """
    named: set[str] = set()
    for expectation in expectations:
        for name, arguments in expectation.items():
            named |= {*columns_of(name, arguments)}
            condition = arguments.get("row_condition")
            if condition and not is_about_names(name):
                named |= {column for column in columns if column in condition}
    return [column for column in columns if column in named]


def split_by_subject(expectations: Sequence[Expectation]) -> tuple[list[int], list[int]]:
    """Return positions of the expectations about names, and of those about rows."""
    about_names: list[int] = []
    about_rows: list[int] = []
    for position, expectation in enumerate(expectations):
        if all(map(is_about_names, expectation)):
            about_names.append(position)
        else:
            about_rows.append(position)
    return about_names, about_rows


def groups(
    expectations: Sequence[Expectation],
    positions: Sequence[int],
    columns: Sequence[str],
    at_once: int,
) -> Iterator[list[int]]:
    """Yield the positions in groups that together need no more than `at_once` columns.

    Expectations about the same columns stand side by side; one that needs more by itself is a group
    of its own.
    """

    def needed(*positions: int) -> list[str]:
        return columns_to_read([expectations[position] for position in positions], columns)

    group: list[int] = []
    for position in sorted(positions, key=needed):
        together = needed(*group, position)
        if group and len(together) > at_once:
            yield group
            group = []
        group.append(position)
    if group:
        yield group


EXAMPLES_IN_A_LINE = 5
LEFT_OUT_OF_MESSAGES = ("column", "severity", "meta", "notes", "description", "condition_parser")


class Example(Reference):
    """An unexpected value and its row, counted from 1."""

    value: Any
    row: int


class ExpectationResult(Reference):
    """The result of one expectation."""

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
        """Return whether training must not begin: also when the check itself failed, whatever the
        severity.
        """
        return not self.held and (self.severity == "critical" or self.error is not None)


def summarise(results: Sequence[ExpectationResult]) -> Validation:
    """Return the counts, and one line for each expectation that does not hold."""
    failed = [result for result in results if not result.held]
    critical = sum(result.stops for result in failed)
    return Validation(
        expectations=len(results),
        failed_critical=critical,
        failed_warning=len(failed) - critical,
        messages=tuple(describe(result) for result in failed),
    )


def describe(result: ExpectationResult) -> str:
    """Return such as `latitude: expect_column_values_to_be_between(min_value=32): 12 of 20,640 rows
    (0.06 %) ...`.
    """
    shown = []
    for key, value in result.arguments.items():
        if key not in LEFT_OUT_OF_MESSAGES:
            shown.append(f"{key}={value!r}")
    call = f"{result.type}({', '.join(shown)})"
    if "column" in result.arguments:
        call = f"{result.arguments['column']}: {call}"
    if result.severity != "critical":
        call = f"{call} [{result.severity}]"
    return f"{call}: {_observation(result)}"


def _observation(result: ExpectationResult) -> str:
    if result.error is not None:
        return f"could not be checked: {result.error}"
    if result.unexpected is None or not result.rows:
        if result.observed is None:
            return "does not hold"
        return f"observed {_short(result.observed)}"
    share = _share(100 * result.unexpected / result.rows)
    counted = f"{result.unexpected:,} of {result.rows:,} rows ({share} %) are not as expected"
    if not result.examples:
        return counted
    examples = result.examples[:EXAMPLES_IN_A_LINE]
    shown = [f"{_short(example.value)} (row {example.row:,})" for example in examples]
    if result.unexpected > len(shown):
        shown.append("...")
    return f"{counted}, e.g. {', '.join(shown)}"


def _share(percent: float) -> str:
    if percent >= 10:
        return f"{percent:.0f}"
    return f"{percent:.2g}" if percent >= 0.001 else "< 0.001"


def _short(value: Any) -> str:
    if isinstance(value, int | float):
        return f"{value:,.10g}"
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
