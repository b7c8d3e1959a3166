"""The words of the code: identifiers, messages and docstrings use the field's words, not a dialect.

`PACKAGES` lists what is checked. Comments are not checked.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]

# packages and modules that are done
PACKAGES = (
    "deployments",
    "flows",
    "onerun/checkpoint.py",
    "onerun/data",
    "onerun/domain/plots",
    "onerun/domain/report",
    "onerun/evaluation",
    "onerun/notify.py",
    "onerun/process_tuning.py",
    "onerun/processes",
    "onerun/progress.py",
    "onerun/promotion",
    "onerun/retry.py",
    "onerun/storage",
    "onerun/training",
    "settings",
    "tasks",
)
# a flow's parameter, and a method of the commands' interface (onerun/commands/ui.py)
PUBLIC_NAMES = ("silence_minutes", "say")
MODULES_OF_DOMAIN = REPOSITORY / "onerun" / "domain"  # its own modules, without the packages below
NOT_DONE = ("archives.py", "diagnosis.py", "names.py")

# a word of an identifier (`prints_of_rows` has three) -> the word to use
IDENTIFIERS = {
    "anew": "reset",
    "asked": "request",
    "contest": "comparison",
    "fitting": "fit",
    "gone": "missing, deleted, dead",
    "guard": "watchdog",
    "house": "project",
    "judge": "check, score",
    "judged": "scored",
    "judgement": "result",
    "nobody": "none",
    "patience": "retry, timeout",
    "patiently": "with_retry",
    "prints": "fingerprints",
    "rival": "champion, challenger",
    "room": "package, limit",
    "rooms": "packages",
    "said": "reason, message, predicted",
    "say": "report",
    "says": "detail, message",
    "silence": "unavailable",
    "silent": "unavailable",
    "tell": "describe, report",
    "tells": "describes, reports",
    "told": "reason, message",
    "truth": "y_true",
    "wall": "limit",
    "wanted": "target, expected",
    "whoever": "owner, process",
    "word": "name, text, reason",
    "words": "message, reason, names",
}

# a pattern in messages and docstrings -> what to write
TEXTS = {
    r"\banew\b": "again",
    r"\bexpected a text\b": "expected a string",
    r"\bin words\b": "as text, a message, a reason",
    r"\bis gone\b|\bare gone\b": "is missing, deleted, dead",
    r"(?<!there )(?<!There )\bis no(?! longer| more)\b": "is not a",
    r"\bis none\b|\bare none\b": "is not one",
    r"\bnobody\b": "no one; name the process or person",
    r"\breads? (RUNNING|FINISHED|FAILED|KILLED)\b": "has status ...",
    r"\brooms?\b": "packages",
    r"\bsaid\b|\bsays\b": "name what states it",
    r"\bsomebody\b": "another process, a person",
    r"\bthe house('s)?\b": "the project",
    r"\btold\b": "reported, known",
    r"\bturns? out\b": "is",
    r"\bwhoever\b": "the process that",
    r"^Returns?:|^Yields?:|^Args:|^Gives:": "a verb first: Return ..., Yield ...",
}


def checked_files() -> list[Path]:
    """Return the files of all packages that are done."""
    files = [path for path in MODULES_OF_DOMAIN.glob("*.py") if path.name not in NOT_DONE]
    for package in PACKAGES:
        path = REPOSITORY / package
        assert path.exists(), f"{package} is not there: PACKAGES is out of date"
        files += [path] if path.is_file() else path.rglob("*.py")
    return sorted(files)


def named(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and name of every function, class, argument, variable and attribute that the code defines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr


def written(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and text of every string, docstrings and the fixed parts of f-strings included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def parts(name: str) -> list[str]:
    """Return the words of an identifier: `file_prints`, `FilePrints` and `FILE_PRINTS` have file and prints."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    return spaced.lower().split("_")


def found_in(code: str) -> list[str]:
    """Return one line for each word that the code may not use, with the line and the word to use."""
    tree = ast.parse(code)
    found = []
    for line, name in named(tree):
        for part in () if name in PUBLIC_NAMES else parts(name):
            if part in IDENTIFIERS:
                found.append(f"{line}: {name}: {part!r} -> {IDENTIFIERS[part]}")
    for line, text in written(tree):
        for pattern, instead in TEXTS.items():
            match = re.search(pattern, text)
            if match:
                found.append(f"{line}: {match[0]!r} in {text[:60]!r} -> {instead}")
    return found


@pytest.mark.parametrize(
    "path", checked_files(), ids=lambda path: str(path.relative_to(REPOSITORY))
)
def test_code_uses_plain_words(path: Path) -> None:
    found = found_in(path.read_text(encoding="utf-8"))
    assert not found, "\n".join(f"{path}:{each}" for each in found)


@pytest.mark.parametrize(
    "path", checked_files(), ids=lambda path: str(path.relative_to(REPOSITORY))
)
def test_lines_are_at_most_100_characters_long(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [number for number, line in enumerate(lines, start=1) if len(line) > 100] == []


@pytest.mark.parametrize(
    "code",
    [
        "def said(): ...",
        "class WhatWasTold: ...",
        "def f(words): ...",
        "truth = 1",
        "x.prints = 2",
        "for rival in y: ...",
        '"""What nobody reads."""',
        'raise ValueError("the champion is gone")',
        'f"{x} is none of ours"',
        'def f():\n    """Returns: a number."""',
        'log.info("the run reads RUNNING")',
    ],
)
def test_a_planted_word_is_found(code: str) -> None:
    assert len(found_in(code)) == 1


@pytest.mark.parametrize(
    "code",
    [
        "def render_page(): ...",
        "y_true, message, reason = f()",
        '"""Return the champion, which is no longer the holder."""',
        "# nobody says what a comment may hold",
        "fingerprint_of = 1",
    ],
)
def test_plain_words_pass(code: str) -> None:
    assert found_in(code) == []
