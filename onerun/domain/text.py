"""Sizes, ages, counts and numbers as a person reads them, and patterns as a person writes them."""

import math
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import lru_cache

UNITS = ("B", "kB", "MB", "GB", "TB")
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def size(count: int | None) -> str:
    """Return bytes with three digits: 512 B, 1.21 MB; a dash where they are not known."""
    if count is None:
        return "-"
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.3g} {UNITS[unit]}" if unit else f"{count} B"


def age(milliseconds: int) -> str:
    """Return the largest fitting unit: 40 days, 3 hours, 5 minutes."""
    return _minutes(milliseconds // MINUTE)


@lru_cache(maxsize=10_000)  # thousands of runs are as old as each other
def _minutes(minutes: int) -> str:
    for length, unit in ((DAY // MINUTE, "day"), (HOUR // MINUTE, "hour"), (1, "minute")):
        if minutes >= length:
            count = minutes // length
            return f"{count:,} {unit}{'s' if count > 1 else ''}"
    return "moments"


PLURALS = {
    "experiment": "experiments",
    "run": "runs",
    "model": "logged models",
    "trace": "traces",
    "registered-model": "registered models",
    "model-version": "versions",
    "files": "files",
}


def counted(counts: Mapping[str, int]) -> str:
    """Return how many records there are of each kind that a person knows by name."""
    return ", ".join(f"{counts[kind]:,} {name}" for kind, name in PLURALS.items() if kind in counts)


def number(value: float) -> str:
    """Return four significant digits, whole from a thousand on, two where tiny: 0.8496, 45,371,
    1.2e-05.
    """
    if not math.isfinite(value):
        return str(value)
    if 1000 <= abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:.4g}" if abs(value) >= 1e-3 else f"{value:.2g}"


def percent(share: float) -> str:
    """Return three significant digits: 1 %, 16.1 %, 0.032 %; whole from 1,000 % on."""
    return f"{100 * share:.3g} %" if abs(share) < 10 else f"{100 * share:,.0f} %"


def printable(text: str) -> str:
    """Return the text so that it can be printed, stored and sent: file names may hold bytes that
    are not UTF-8.
    """
    return text.encode("utf-8", "backslashreplace").decode()


def matches(text: str, pattern: str) -> bool:
    """Return whether the text matches the pattern; brackets are literal, since names such as
    `houses [prod]` hold them.
    """
    return fnmatchcase(text, pattern.replace("[", "[[]"))
