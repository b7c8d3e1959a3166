"""Where the files of a registered version lie, by what it was registered from."""

import re
from collections.abc import Callable

from onerun.domain.cleanup.inventory import Version

_OF_MODEL = re.compile(r"models:/(m-[0-9a-f]{32})/?(.*)")
_OF_RUN = re.compile(r"runs:/([^/]+)/?(.*)")
OfModel = Callable[[str], str | None]  # id -> where its artifacts lie; None: it is gone
OfRun = Callable[
    [str, str], str | None
]  # id, path among its artifacts -> where that lies; None: the run is gone


def place_of(version: Version, of_model: OfModel, of_run: OfRun) -> str | None:
    """Returns: the address; None: the logged model or run that it was made of is gone; "": it is not known."""
    for named in (version.location, version.source):
        if found := _OF_MODEL.fullmatch(named):
            return joined(of_model(found[1]), found[2])
    if found := _OF_RUN.fullmatch(version.source):
        return of_run(found[1], found[2].rstrip("/"))
    if version.source.startswith(
        "models:"
    ):  # a copy of another version, which names its files by itself
        return "" if version.location.startswith("models:") else version.location
    return version.address


def joined(root: str | None, path: str) -> str | None:
    """Returns: the address of a path below another; None: there is none to be below."""
    return root and f"{root.rstrip('/')}/{path}".rstrip("/")
