"""Addresses of artifacts, by their text alone: a run's own folder, a version's files."""

import re
from collections.abc import Callable
from functools import lru_cache
from urllib.parse import unquote

from onerun.domain.cleanup.inventory import LoggedModel, RegisteredVersion, Run

MODELS, TRACES = "models", "traces"
GROUPED = (MODELS, TRACES)  # folders of an experiment that hold one folder each
_ID = re.compile(r"[0-9A-Za-z_-]{8,64}")
_OF_MODEL = re.compile(r"models:/(m-[0-9a-f]{32})/?(.*)")
_OF_RUN = re.compile(r"runs:/([^/]+)/?(.*)")
OfModel = Callable[[str], str | None]  # id -> its artifacts' address; None: the model is missing
OfRun = Callable[[str, str], str | None]  # id, path -> that artifact's address; None: no such run


@lru_cache(maxsize=64)  # an experiment's location is asked about for each of its runs
def plain(address: str) -> str:
    """Return an address without `file://`, %20 and slashes at its end: one place, one address.

    A host in a file's address counts as little as it does for MLflow.
    """
    if address.startswith("file:"):
        address = unquote(re.sub(r"^file:(//[^/]*)?(?=/)", "", address))
    return address.rstrip("/") or "/"


def of_run(location: str, run: Run) -> str | None:
    """Return the folder `<location>/<run id>` when the run's artifacts lie in it."""
    return _own(plain(location), run.id, run.artifact_uri or "")


def of_model(location: str, model: LoggedModel) -> str | None:
    """Return the folder `<location>/models/<model id>` when the model's files lie in it."""
    return _own(f"{plain(location)}/{MODELS}", model.id, model.location)


def _own(parent: str, name: str, address: str) -> str | None:
    folder = f"{parent}/{name}"
    if not _ID.fullmatch(name) or len(parent) <= 1:
        return None
    usual = f"{folder}/artifacts"
    return folder if address == usual or plain(address) == usual else None


def below(location: str, folder: str) -> tuple[str, ...] | None:
    """Return the one or two names from a location down to one of its own folders."""
    root = f"{plain(location)}/"
    if not folder.startswith(root):
        return None
    parts = tuple(folder[len(root) :].split("/"))
    own = len(parts) == 1 or (len(parts) == 2 and parts[0] == MODELS)
    if not own or parts == (MODELS,) or not _ID.fullmatch(parts[-1]):
        return None
    return parts


def version_address(version: RegisteredVersion, of_model: OfModel, of_run: OfRun) -> str | None:
    """Return where the files of a registered version lie, by what it was registered from.

    Returns: "" when that is not known; None when its logged model or run is missing.
    """
    for named in (version.location, version.source):
        if found := _OF_MODEL.fullmatch(named):
            return joined(of_model(found[1]), found[2])
    if found := _OF_RUN.fullmatch(version.source):
        return of_run(found[1], found[2].rstrip("/"))
    if version.source.startswith("models:"):  # a copy of another version, with its own files
        return "" if version.location.startswith("models:") else version.location
    return version.address


def joined(root: str | None, path: str) -> str | None:
    """Return the address of a path below another address, if there is one."""
    return root and f"{root.rstrip('/')}/{path}".rstrip("/")
