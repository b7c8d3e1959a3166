"""Where the files of a registered version lie, as an MLflow server says it."""

from domain.maintenance.inventory import Version
from tasks.tracking.runs import client
from tasks.tracking.served.reading import known


def place_of(version: Version) -> str | None:
    """Returns: the address; None: the model or run that it was made of is gone; "": not known."""
    kind = named = ""
    for source in filter(None, (version.location, version.source)):
        kind, _, named = source.partition(":/")
        if kind == "models" and named.startswith("m-"):
            model = known(client().get_logged_model, named)
            return model.artifact_location if model else None
    if kind == "models":
        place = str(client().get_model_version_download_uri(version.model, version.version))
        return version._replace(source=place).address
    if kind == "runs":
        run, _, path = named.strip("/").partition("/")
        found = known(client().get_run, run)
        return f"{found.info.artifact_uri}/{path}".rstrip("/") if found else None
    return version.address
