"""Parameters that MLflow stumbles over, seen from what a run says of itself."""

import re
from collections.abc import Iterator, Mapping

from onerun.domain import names

_LATER = re.compile(
    re.escape(names.TAG_CONFLICT).replace(r"\{key\}", "(.+)").replace(r"\{attempt\}", r"(\d+)")
)
SHOWN = 60  # characters of a value


def duplicates(params: Mapping[str, str]) -> Iterator[str]:
    """Yield in words, parameters whose names differ by case only."""
    same: dict[str, list[str]] = {}
    for key in sorted(params):
        same.setdefault(key.lower(), []).append(key)
    yield from (
        f"{len(keys)} of them: {', '.join(keys)}" for keys in same.values() if len(keys) > 1
    )


def conflicts(params: Mapping[str, str], tags: Mapping[str, str]) -> Iterator[str]:
    """Yield in words, parameters that a later attempt logged differently; a tag keeps the later
    value.
    """
    for key, later in tags.items():
        if (found := _LATER.fullmatch(key)) and params.get(found[1], later) != later:
            yield f"{found[1]} was {params[found[1]][:SHOWN]}, and {later[:SHOWN]} at attempt {found[2]}"
