"""What a recipe may ask of its table: Great Expectations types by their own names, checked without importing them.

The table of types and arguments is generated from the installed library (`python -m onerun.data.quality.types`).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

from onerun.config.mistakes import Mistake, did_you_mean

Expectation = Mapping[str, Mapping[str, Any]]  # one entry: {type: arguments}
Arguments = Mapping[str, Mapping[str, Any]]  # argument -> kinds, required, choices, least, most

RUNS_CODE = ("@", ".__")  # pandas would look up Python names in a condition


@cache
def known_types() -> dict[str, Arguments | None]:
    """Returns: type -> its arguments; None for types that need a database and cannot run on a table."""
    table: dict[str, Arguments | None] = json.loads(
        Path(__file__).with_suffix(".json").read_text("utf-8")
    )
    return table


def check_expectations(expectations: Sequence[Expectation]) -> list[Mistake]:
    """Returns: every mistake that can be told without the data, in the order of the recipe."""
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
    """Returns: what is wrong with the value, None when nothing is."""
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
