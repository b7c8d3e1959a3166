"""The history of an alias as a person reads it."""

from collections.abc import Mapping
from typing import Any


def history_lines(result: Mapping[str, Any]) -> list[str]:
    """Returns: the moves, newest last, each with numbers, reason and the command that undoes it; then the holder."""
    moves, now = result["moves"], result["holder"]
    lines = [line for entry in moves for line in _entry(entry)]
    others = " (moved last by other means than this)" if moves and moves[-1]["to"] != now else ""
    return [*lines, f"{result['model']}@{result['alias']} points at version {now or '-'}{others}"]


def _entry(entry: Mapping[str, Any]) -> list[str]:
    when = entry["at"][:19].replace("T", " ")
    numbers = "  ".join(f"{name} {value:,.6g}" for name, value in entry["numbers"].items())
    facts = [f"run {entry['run_id']}"] * bool(entry["run_id"]) + [numbers] * bool(numbers)
    return [
        f"{when} UTC  version {entry['from'] or '-'} -> {entry['to']}  {entry['kind']} by {entry['who']}",
        *(f"    {fact}" for fact in facts),
        f"    why: {entry['why']}",
        *[f"    back: {entry['back']}"] * bool(entry["back"]),
    ]
