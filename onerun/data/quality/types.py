"""Generate onerun/domain/expectations.json, every type of the installed library: `python -m
onerun.data.quality.types`.

A recipe is checked against that file, so that a misspelt argument is reported in milliseconds,
without the import.
"""

import json
import types
from collections.abc import Iterator
from datetime import date, datetime
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import onerun.domain.expectations

TABLE = Path(onerun.domain.expectations.__file__).with_suffix(".json")
OURS = frozenset(  # what a recipe does not choose
    {
        "id",
        "batch_id",
        "rendered_content",
        "result_format",
        "catch_exceptions",
        "windows",
        "library_metadata",
    }
)
NEED_A_DATABASE = frozenset(
    {"expect_table_row_count_to_equal_other_table"}
)  # needs the other table's name
KINDS = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    date: "date",
    datetime: "date",
    type(None): "null",
    dict: "object",
    list: "array",
    tuple: "array",
    set: "array",
}


def generate() -> dict[str, Any]:
    """Return type -> arguments with kinds, required, choices and bounds; None for types that need a
    database.
    """
    import great_expectations.expectations  # noqa: F401 -- fills the registry
    from great_expectations.expectations.registry import (
        get_expectation_impl,
        list_registered_expectation_implementations,
    )

    names = sorted(set(list_registered_expectation_implementations()))
    return {
        name: _arguments(get_expectation_impl(name)) if _runs_on_frames(name) else None
        for name in names
    }


def _runs_on_frames(name: str) -> bool:
    from great_expectations.expectations.registry import _registered_metrics, get_expectation_impl

    implementation = get_expectation_impl(name)
    metrics = getattr(implementation, "metric_dependencies", ())
    by_row = getattr(implementation, "map_metric", None)
    if by_row:
        metrics = [f"{by_row}.condition"]
    for metric in metrics:
        engines = _registered_metrics.get(metric, {}).get("providers", {})
        if "PandasExecutionEngine" not in engines:
            return False
    return name not in NEED_A_DATABASE


def _arguments(implementation: Any) -> dict[str, Any]:
    return {
        name: _rule(field) for name, field in implementation.__fields__.items() if name not in OURS
    }


def _rule(field: Any) -> dict[str, Any]:
    members = list(_members(field.outer_type_))
    if len(members) > 1 and dict in members:
        members.remove(dict)  # the library's parameters of a suite, which recipes do not have
    kinds = [kind for kind in dict.fromkeys(map(_kind, members)) if kind]
    if field.allow_none and "null" not in kinds:
        kinds.append("null")
    rule: dict[str, Any] = {"kinds": sorted(kinds)}
    if field.required:
        rule["required"] = True
    choices = [choice for member in members for choice in _choices(member) if choice != "spark"]
    if choices:
        rule["choices"] = choices
    for bound, name in (("ge", "least"), ("le", "most")):
        for member in members:
            if getattr(member, bound, None) is not None:
                rule.setdefault(name, getattr(member, bound))
    return rule


def _members(annotation: Any) -> Iterator[Any]:
    """Yield the types of a union, flat, generic ones as their origin."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _members(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _members(member)
    else:
        yield annotation if origin in (None, Literal) else origin


def _kind(member: Any) -> str | None:
    if get_origin(member) is Literal:
        return "string"
    if issubclass(member, Enum):
        return "string"
    if member.__name__ == "QuantileRange":
        return "object"
    if member.__module__.startswith("great_expectations"):
        return None  # conditions as objects: a recipe writes them as text
    if member.__name__ == "Sequence":
        return "array"
    return next(kind for known, kind in KINDS.items() if issubclass(member, known))


def _choices(member: Any) -> list[str]:
    if get_origin(member) is Literal:
        return [*get_args(member)]
    if isinstance(member, type) and issubclass(member, Enum):
        return [choice.value for choice in member]
    return []


def as_text(table: dict[str, Any]) -> str:
    """Return the table as JSON with one argument a line, so that a change of the library is easy to
    read.
    """
    entries = []
    for name, arguments in table.items():
        shown = "null"
        if arguments is not None:
            lines = [f"  {json.dumps(key)}: {json.dumps(rule)}" for key, rule in arguments.items()]
            shown = "{\n" + ",\n".join(lines) + "\n}"
        entries.append(f"{json.dumps(name)}: {shown}")
    return "{\n" + ",\n".join(entries) + "\n}\n"


if __name__ == "__main__":
    TABLE.write_text(as_text(generate()), encoding="utf-8")
