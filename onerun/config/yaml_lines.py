"""YAML as plain values plus the line each key stands on.

YAML 1.2's scalars: `no` is a name and `1e-3` a number, unlike PyYAML's default. Tags are refused: no file runs code.
"""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from onerun.config.mistakes import Mistake, Mistakes

Path = tuple[str | int, ...]
LONGEST_DOCUMENT = 1_000_000  # bytes
MOST_NODES = 20_000  # a few lines of aliases can stand for billions of values
DEEPEST = 50
EXPECTED = {"recipe": ", `data: {source: ..., target: ...}` and more"}


class _Loader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2's plain scalars."""


_Loader.yaml_implicit_resolvers = {}

for tag, pattern, first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), first)


def _integer(loader: Any, node: Any) -> int:
    text = str(loader.construct_scalar(node))
    return int(text, 16) if text.startswith("0x") else int(text)


def _number(loader: Any, node: Any) -> float:
    return float(
        str(loader.construct_scalar(node)).lower().replace(".inf", "inf").replace(".nan", "nan")
    )


_Loader.add_constructor("tag:yaml.org,2002:int", _integer)
_Loader.add_constructor("tag:yaml.org,2002:float", _number)


def parse(text: str, source: str, name: str = "recipe") -> tuple[dict[str, Any], dict[Path, int]]:
    """Read one YAML mapping.

    Args: name: what the document is called when something is wrong with it.
    Returns: its plain values, and path → line (from 1) of every key and list item.
    Raises: Mistakes when the text is too large, no YAML, no mapping, or says a key twice.
    """
    if len(text) > LONGEST_DOCUMENT:
        raise Mistakes(
            [Mistake("", f"larger than {LONGEST_DOCUMENT:,} bytes; a {name} holds no data", source)]
        )
    lines: dict[Path, int] = {}
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            raise Mistakes(
                [
                    Mistake(
                        "",
                        f"is empty; expected the keys of a {name}{EXPECTED.get(name, '')}",
                        source,
                    )
                ]
            )
        _walk(node, (), lines, source, name)
        value = loader.construct_document(node)
    except yaml.YAMLError as error:
        raise Mistakes([_as_mistake(error, source, name)]) from None
    except RecursionError:
        raise Mistakes(
            [Mistake("", f"more than {DEEPEST} levels; a {name} holds no data", source)]
        ) from None
    except ValueError as error:
        raise Mistakes([Mistake("", f"not readable as YAML: {error}", source)]) from None
    if not isinstance(value, Mapping):
        raise Mistakes([Mistake("", f"expected a mapping of keys, got {_kind(value)}", source, 1)])
    return dict(value), lines


def _walk(node: yaml.Node, path: Path, lines: dict[Path, int], source: str, name: str) -> None:
    """Note the line of every key; refuse what would be silently lost or explode."""
    if len(lines) > MOST_NODES or len(path) > DEEPEST:
        raise Mistakes(
            [
                Mistake(
                    "",
                    f"more than {MOST_NODES:,} values or {DEEPEST} levels; a {name} holds no data",
                    source,
                )
            ]
        )
    if isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            lines[(*path, position)] = item.start_mark.line + 1
            _walk(item, (*path, position), lines, source, name)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            _walk_key(key, value, path, lines, source, name)


def _walk_key(
    key: yaml.Node, value: yaml.Node, path: Path, lines: dict[Path, int], source: str, name: str
) -> None:
    line = key.start_mark.line + 1
    if not isinstance(key, yaml.ScalarNode):
        raise Mistakes([Mistake(dotted(path), "a key must be a name", source, line)])
    here = (*path, str(key.value))
    if here in lines:
        raise Mistakes(
            [
                Mistake(
                    dotted(here),
                    f"stands twice (first on line {lines[here]}); remove one",
                    source,
                    line,
                )
            ]
        )
    lines[here] = line
    _walk(value, here, lines, source, name)


def _as_mistake(error: yaml.YAMLError, source: str, name: str) -> Mistake:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line = mark.line + 1 if mark else None
    problem = str(getattr(error, "problem", None) or getattr(error, "reason", None) or error)
    if "'\\t'" in problem:
        problem = "a tab stands where YAML wants spaces; indent with spaces"
    elif "found another document" in problem or "expected a single document" in str(error):
        problem = f"two documents in one file (`---`); a {name} is one document"
    elif "could not determine a constructor" in problem:
        problem = f"{problem}; tags (`!...`) are not allowed in a {name}"
    return Mistake("", f"not readable as YAML: {problem}", source, line)


def _kind(value: Any) -> str:
    names = {
        list: "a list",
        str: "a text",
        int: "a number",
        float: "a number",
        bool: "a truth value",
    }
    return names.get(type(value), "nothing" if value is None else type(value).__name__)


def dotted(path: Path) -> str:
    """`("gates", 0, "min")` → `gates.0.min`."""
    return ".".join(str(part) for part in path)


def scalar(text: str) -> Any:
    """Read one value as it would be read in a recipe; what is not YAML stands for itself.

    Raises: Mistakes when it refers to itself, or stands for more values than a recipe holds.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _walk(node, (), {}, "--set", "recipe")
        return loader.construct_document(node)
    except (yaml.YAMLError, ValueError, RecursionError):
        return text
