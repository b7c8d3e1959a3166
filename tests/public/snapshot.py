"""The checked-in list of what leaves the process, and its comparison with what leaves it now."""

import difflib
import os
from collections.abc import Mapping
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
ADVICE = f"""\
Not intended: restore what was there. If intended, mark it **breaking** in CHANGELOG.md (an addition needs no mark) and
rewrite the snapshot with
  {REWRITE}"""


def check(found: Mapping[str, Any]) -> None:
    """Compare sections of the snapshot with what was found, or rewrite them when asked to.

    Raises: AssertionError with all differences and what to do about them.
    """
    known = sections()
    if os.environ.get(VARIABLE):
        FILE.write_text(HEAD + _text({**known, **found}), encoding="utf-8")
        return
    differences = [
        _difference(name, _text(known.get(name)), _text(value)) for name, value in found.items()
    ]
    if any(differences):
        told = "\n".join(filter(None, differences))
        raise AssertionError(f"what leaves the process has changed:\n{told}\n{ADVICE}")


def sections() -> dict[str, Any]:
    """Return the snapshot."""
    return dict(yaml.safe_load(FILE.read_text(encoding="utf-8"))) if FILE.exists() else {}


def _text(value: Any) -> str:
    """Return sorted YAML, one fact a line."""
    return yaml.safe_dump(
        value, sort_keys=True, allow_unicode=True, width=1000, default_flow_style=False
    )


def _difference(section: str, before: str, now: str) -> str:
    """Return the lines that differ, with what stands around them; nothing when none does."""
    one, other = before.splitlines(), now.splitlines()
    return "\n".join(
        difflib.unified_diff(
            one, other, f"{section}: snapshot", f"{section}: code", n=3, lineterm=""
        )
    )
