"""Check that MLflow works from here: version, database schema, and one small artifact written."""

import tempfile
import uuid
from pathlib import Path
from typing import Any

from onerun.tracking.database import newest_revision, plain_engine
from onerun.tracking.runs import client

CONTENT = "written, read and deleted by a pre-flight check\n"


def installed_version() -> str:
    """Return the version of the MLflow installed here."""
    import mlflow

    return str(mlflow.__version__)


def server_version(uri: str) -> str:
    """Return the version of the server at `uri`."""
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    credentials = get_default_host_creds(uri)  # type: ignore[no-untyped-call]
    answer = http_request(  # type: ignore[no-untyped-call]
        credentials, "/version", "GET", max_retries=1, timeout=10
    )
    answer.raise_for_status()
    return str(answer.text).strip()


def schema(uri: str) -> tuple[str | None, str]:
    """Return a database's schema revision (None: no tables yet) and the newest one known here."""
    from mlflow.store.db.utils import _get_schema_version

    with plain_engine(uri) as engine:
        return _get_schema_version(engine), newest_revision()  # type: ignore[no-untyped-call]


def artifact_round_trip() -> str:
    """Write one small artifact where experiments keep theirs, read it back and delete it.

    Returns: the artifact location that was tried.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    root, name = _root(), f"pre-flight-{uuid.uuid4().hex}.txt"
    repository: Any = get_artifact_repository(root)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_text(CONTENT)
        repository.log_artifact(str(file))
        try:
            read = Path(
                repository.download_artifacts(name, tempfile.mkdtemp(dir=folder))
            ).read_text()
        finally:  # not after a failed write: the error would be that of a second failure
            repository.delete_artifacts(name)
    if read != CONTENT:
        raise OSError(f"what was written to {root} came back changed")
    if name in [found.path for found in repository.list_artifacts()]:
        raise OSError(f"what was written to {root} could not be deleted; it is called {name}")
    return root


def _root() -> str:
    """Return the artifact location of the oldest experiment: every user may write there."""
    found = client().search_experiments(max_results=1, order_by=["experiment_id ASC"])
    if not found:
        raise LookupError("there is no experiment yet; train once, then look again")
    return str(found[0].artifact_location).rstrip("/")
