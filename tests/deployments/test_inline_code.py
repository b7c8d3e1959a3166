"""Python that stands inside YAML, where no type checker looks: every call fits the function that it calls."""

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "deployments"


def lines_of(held: Any) -> Iterator[list[str]]:
    """Yields: every list of texts in a document, such as a command."""
    if isinstance(held, list) and all(isinstance(each, str) for each in held):
        yield held
    elif isinstance(held, dict | list):
        for inner in held.values() if isinstance(held, dict) else held:
            yield from lines_of(inner)


def codes() -> list[str]:
    documents = [
        found for path in FOLDER.rglob("*.yaml") for found in yaml.safe_load_all(path.read_text())
    ]
    lines = [line for document in documents for line in lines_of(document)]
    return sorted(
        {line[line.index("-c") + 1] for line in lines if "python" in line and "-c" in line}
    )


def test_there_is_some() -> None:
    assert len(codes()) >= 4


@pytest.mark.parametrize("code", codes())
def test_every_call_fits(code: str) -> None:
    tree, known = ast.parse(code), {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(str(node.module))
            known |= {
                alias.asname or alias.name: getattr(module, alias.name) for alias in node.names
            }
        elif isinstance(node, ast.Import):
            known |= {
                alias.asname or alias.name: importlib.import_module(alias.name)
                for alias in node.names
            }
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert calls
    for call in calls:
        function = eval(ast.unparse(call.func), known)
        inspect.signature(function).bind(
            *call.args, **{str(given.arg): given.value for given in call.keywords}
        )
