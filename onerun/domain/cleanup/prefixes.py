"""Which folder is a run's or a logged model's own, so that it can go with it: by address, nothing is looked at."""

import re
from functools import lru_cache
from urllib.parse import unquote

from onerun.domain.cleanup.inventory import LoggedModel, Run

_ID = re.compile(r"[0-9A-Za-z_-]{8,64}")
MODELS, TRACES = "models", "traces"
GROUPED = (MODELS, TRACES)  # folders of an experiment that hold one folder each


@lru_cache(maxsize=64)  # the place of an experiment is asked about for each of its runs
def plain(address: str) -> str:
    """Returns: an address without `file://` and its %20, and without slashes at its end; one place, one address."""
    if address.startswith("file:"):
        address = unquote(re.sub(r"^file:(//)?(?=/)", "", address))
    return address.rstrip("/") or "/"


def of_run(location: str, run: Run) -> str | None:
    """Returns: the folder `<location>/<run id>` when the run's artifacts lie in it; None: they lie elsewhere."""
    return _own(plain(location), run.id, run.artifact_uri or "")


def of_model(location: str, model: LoggedModel) -> str | None:
    """Returns: the folder `<location>/models/<model id>`, likewise."""
    return _own(f"{plain(location)}/{MODELS}", model.id, model.location)


def _own(parent: str, name: str, address: str) -> str | None:
    folder = f"{parent}/{name}"
    if not _ID.fullmatch(name) or len(parent) <= 1:
        return None
    usual = f"{folder}/artifacts"
    return folder if address == usual or plain(address) == usual else None


def below(location: str, folder: str) -> tuple[str, ...] | None:
    """Returns: the one or two names from the location down to an own folder; None: it is not one of its own."""
    root = f"{plain(location)}/"
    parts = tuple(folder[len(root) :].split("/")) if folder.startswith(root) else ()
    own = len(parts) == 1 or (len(parts) == 2 and parts[0] == MODELS)
    return parts if own and _ID.fullmatch(parts[-1]) and parts != (MODELS,) else None
