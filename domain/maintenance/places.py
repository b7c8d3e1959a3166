"""Where the files of a registered version lie, by what it was registered from."""

import re
from collections.abc import Callable

from domain.maintenance.inventory import Version

_OF_MODEL = re.compile(r"models:/(m-[0-9a-f]{32})/?(.*)")
_OF_RUN = re.compile(r"runs:/([^/]+)/?(.*)")
Find = Callable[[str], str | None]  # id -> where its artifacts lie; None: it is gone


def place_of(version: Version, model: Find, run: Find) -> str | None:
    """Returns: the address; None: the logged model or run that it was made of is gone; nothing: it is not known."""
    for pattern, find in ((_OF_MODEL, model), (_OF_RUN, run)):
        if found := pattern.fullmatch(version.source):
            root = find(found[1])
            return root and f"{root.rstrip('/')}/{found[2]}".rstrip("/")
    if version.source.startswith("models:"):  # a copy of another version, which names its files by itself
        return "" if version.location.startswith("models:") else version.location
    return version.source
