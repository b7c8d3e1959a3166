"""Sizes, ages and counts as a person reads them."""

from collections.abc import Mapping
from functools import lru_cache

UNITS = ("B", "kB", "MB", "GB", "TB")
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def size(count: int | None) -> str:
    """Returns: bytes with three digits: 512 B, 1.21 MB; a dash where they are not known."""
    if count is None:
        return "-"
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.3g} {UNITS[unit]}" if unit else f"{count} B"


def age(milliseconds: int) -> str:
    """Returns: the largest fitting unit: 40 days, 3 hours, 5 minutes."""
    return _minutes(milliseconds // MINUTE)


@lru_cache(maxsize=10_000)  # thousands of runs are as old as each other
def _minutes(minutes: int) -> str:
    for length, word in ((DAY // MINUTE, "day"), (HOUR // MINUTE, "hour"), (1, "minute")):
        if minutes >= length:
            count = minutes // length
            return f"{count:,} {word}{'s' if count > 1 else ''}"
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
