"""Where the files of a registered version lie, as an MLflow server says it."""

from onerun.domain.cleanup.artifact_paths import joined, version_address
from onerun.domain.cleanup.inventory import Version
from onerun.store.server.reading import known
from onerun.tracking.runs import client


def place_of(version: Version) -> str | None:
    """Returns: the address; None: the model or run that it was made of is gone; "": not known."""
    place = version_address(version, _of_model, _of_run)
    if place == "":  # a copy of another version: the API names its files in another answer
        downloaded = str(client().get_model_version_download_uri(version.model, version.version))
        return version._replace(source=downloaded).address
    return place


def _of_model(identity: str) -> str | None:
    model = known(client().get_logged_model, identity)
    return model.artifact_location if model else None


def _of_run(identity: str, path: str) -> str | None:
    run = known(client().get_run, identity)
    return joined(run.info.artifact_uri, path) if run else None
