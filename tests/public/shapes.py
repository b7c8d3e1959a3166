"""What a JSON value or a JSON schema looks like, as flat lines of `path: type`."""

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any

TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
BOUNDS = (
    "minimum",
    "exclusiveMinimum",
    "maximum",
    "exclusiveMaximum",
    "pattern",
    "minLength",
    "maxLength",
    "maxItems",
)
EMPTY = {"empty list", "empty object"}
ID = re.compile(
    r"m-[0-9a-f]{32}|[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # a model, a run, a flow run
    r"|\d{8}T\d{12}Z-[0-9a-f]+|\d{4}-\d\d-\d\dT[\d:.]+Z-[0-9a-f]+"  # a moment and what makes it unique
)
NUMBER = re.compile(r"\d+(\.\d+)?|\+Inf")


def masked(text: str) -> str:
    """Return the text with `<id>` for each id in it."""
    return ID.sub("<id>", text)


def shape(*samples: Any, names: Container[str] = ()) -> dict[str, str]:
    """Return path -> type of all values in the samples; `[]` stands for each element of a list.

    Args: names: keys that are data and no keys of ours; ids and numbers are known without.
    """
    found: dict[str, set[str]] = {}
    for path, kind in (pair for sample in samples for pair in _walk("", sample, names)):
        found.setdefault(path, set()).add(kind)
    return {path: " or ".join(_kinds(found, path)) for path in sorted(found) if _kinds(found, path)}


def _walk(path: str, value: Any, names: Container[str]) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        if not value:
            yield path, "empty object"
        for key, held in value.items():
            shown = (
                "<name>" if key in names else "<number>" if NUMBER.fullmatch(key) else masked(key)
            )
            yield from _walk(f"{path}.{shown}".removeprefix("."), held, names)
    elif isinstance(value, list):
        if not value:
            yield path, "empty list"
        for held in value:
            yield from _walk(f"{path}[]", held, names)
    else:
        yield path, TYPES[type(value)]


def _kinds(found: Mapping[str, set[str]], path: str) -> list[str]:
    """Leave out that a list or object was empty in one sample where another sample shows what it holds."""
    kinds = found[path]
    if any(other.startswith((f"{path}[", f"{path}.")) for other in found):
        kinds = kinds - EMPTY
    return sorted(kinds - {"integer"} if "number" in kinds else kinds)


def schema_lines(schema: Mapping[str, Any]) -> dict[str, str]:
    """Return key path -> type, bounds and default of every key that a JSON schema knows."""
    found: dict[str, str] = {}
    for path, kind in _keys("", schema, schema.get("$defs") or schema.get("definitions") or {}):
        found[path] = (
            kind if found.get(path, kind) == kind else f"{found[path]} / {kind}"
        )  # of two alternatives
    return found


def _keys(
    path: str, node: Mapping[str, Any], known: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    node = _resolved(node, known)
    for key, part in node.get("properties", {}).items():
        at = f"{path}.{key}".removeprefix(".")
        default = f" = {part['default']!r}" if "default" in part else ""
        required = " (required)" if key in node.get("required", ()) else ""
        yield at, f"{type_of(part, known)}{default}{required}"
        for place, below in _below(at, part, known):
            yield from _keys(place, below, known)


def _below(
    path: str, part: Mapping[str, Any], known: Mapping[str, Any]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield where keys can be below a key: in an object, in a list's elements, in each alternative."""
    part = _resolved(part, known)
    if "properties" in part:
        yield path, part
    if isinstance(part.get("items"), dict):
        yield from _below(f"{path}[]", part["items"], known)
    for each in _alternatives(part):
        yield from _below(path, each, known)


def type_of(part: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    """Return the type of a value in a schema, in one line."""
    part = _resolved(part, known)
    if several := list(_alternatives(part)):
        return " or ".join(dict.fromkeys(type_of(each, known) for each in several))
    if "enum" in part:
        return " | ".join(map(str, part["enum"]))
    if "const" in part:
        return str(part["const"])
    kind = str(part.get("type", "any"))
    if isinstance(part.get("items"), dict):
        kind = f"list of {type_of(part['items'], known)}"
    if isinstance(part.get("additionalProperties"), dict):
        kind = f"object of {type_of(part['additionalProperties'], known)}"
    bounds = [f"{name} {part[name]}" for name in BOUNDS if name in part]
    return f"{kind} ({', '.join(bounds)})" if bounds else kind


def _alternatives(part: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    return [*part.get("anyOf", ()), *part.get("oneOf", ())]


def _resolved(part: Mapping[str, Any], known: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" in part:
        return {
            **known[part["$ref"].rpartition("/")[2]],
            **{key: held for key, held in part.items() if key != "$ref"},
        }
    return part
