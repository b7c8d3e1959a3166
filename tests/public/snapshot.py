"""The checked-in list of what leaves the process, and its comparison with what leaves it now."""

import difflib
import os
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).parents[1] / "public_api.yaml"
VARIABLE = "WRITE_PUBLIC_API"
REWRITE = f"{VARIABLE}=1 .venv/bin/python -m pytest -n 0 tests/test_public_api.py"
HEAD = f"""\
# What leaves the process, and so is API: tests/test_public_api.py compares it with the code.
# If a change is intended, mark it **breaking** in CHANGELOG.md (additions need no mark) and rewrite this file with
#   {REWRITE}
"""


def check(section: str, found: Any) -> None:
    """Compare one section of the snapshot with what was found, or rewrite it when asked to.

    Raises: AssertionError with the difference and what to do about it.
    """
    known = yaml.safe_load(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    if os.environ.get(VARIABLE):
        FILE.write_text(HEAD + _text({**known, section: found}), encoding="utf-8")
        return
    before, now = _text(known.get(section)), _text(found)
    if before != now:
        raise AssertionError(f"the public API changed ({section}):\n{_difference(before, now)}\n{_advice()}")


def _text(value: Any) -> str:
    """Return sorted YAML, one fact a line."""
    return yaml.safe_dump(value, sort_keys=True, allow_unicode=True, width=1000, default_flow_style=False)


def _difference(before: str, now: str) -> str:
    lines = difflib.unified_diff(before.splitlines(), now.splitlines(), "snapshot", "code", n=2, lineterm="")
    return "\n".join(lines)


def _advice() -> str:
    return (
        "Not intended: restore the old name. "
        f"If intended, mark it **breaking** in CHANGELOG.md (an addition needs no mark) and rewrite the snapshot with\n"
        f"  {REWRITE}"
    )
