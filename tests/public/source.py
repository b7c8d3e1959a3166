"""Names of ours in the source of the product, whichever module they stand in."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "onerun",
    "settings",
    "domain",
    "tasks",
    "flows",
    "deployments",
)  # as far as they are there
OURS = re.compile(r"(?<![\w/.-])(\.?onerun[.-][a-z][a-z_.{}-]*)(?![\w/])")
VARIABLE = re.compile(r"\bONERUN_[A-Z_]*[A-Z]\b")
OF_LIBRARIES = re.compile(r"(MLFLOW|PREFECT|AWS|GX)_[A-Z0-9_]*[A-Z0-9]")


def names_of_ours() -> list[str]:
    """Return tags, labels, file names and the like that begin with `onerun`: no modules, no temporary folders."""
    found = {match[1] for text in _texts() for match in OURS.finditer(text)}
    temporary = re.compile(r"onerun-.*-")
    return sorted(name for name in found if not _is_module(name) and not temporary.fullmatch(name))


def variables() -> list[str]:
    """Return the environment variables that the product names: its own, and those of libraries."""
    texts = list(_texts())
    ours = {name for text in texts for name in VARIABLE.findall(text)}
    return sorted(ours | {text for text in texts if OF_LIBRARIES.fullmatch(text)})


def artifact_keys() -> list[str]:
    """Return the keys of the artifacts that flows make at Prefect."""
    found = set()
    for tree in _trees():
        constants = {
            ast.unparse(node.targets[0]): node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign)
        }
        for node in ast.walk(tree):
            given = _artifact_key(node)
            if given is not None:
                text = ast.unparse(constants.get(ast.unparse(given), given))
                found.add(re.sub(r"\{.*?\}", "{}", text.removeprefix("f")).strip("'"))
    return sorted(found - {"key"})  # what a flow's Ui is given


def _artifact_key(node: ast.AST) -> ast.expr | None:
    """Return the key of a call that makes an artifact, by Prefect's function or by a command's Ui."""
    if not isinstance(node, ast.Call):
        return None
    name = ast.unparse(node.func)
    if re.fullmatch(r"create_\w+_artifact", name):
        return next(each.value for each in node.keywords if each.arg == "key")
    return node.args[0] if re.search(r"\bui\.publish$", name) else None


def _texts() -> Iterator[str]:
    """Yield every string and bytes literal of the product but docstrings."""
    for tree in _trees():
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and id(node) not in docstrings:
                if isinstance(node.value, str):
                    yield node.value
                elif isinstance(node.value, bytes):
                    yield node.value.decode("utf-8", "replace")


@cache
def _trees() -> list[ast.Module]:
    files = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
    return [ast.parse(file.read_text(encoding="utf-8")) for file in files]


def _is_module(name: str) -> bool:
    place = ROOT.joinpath(*name.split("."))
    return place.is_dir() or place.with_suffix(".py").is_file()
