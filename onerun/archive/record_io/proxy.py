"""Artifacts behind an MLflow server's proxy, listed and fetched through the server."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any


def listed(place: str, tracking_uri: str) -> Iterator[tuple[str, int]]:
    """Yields: path and size of each file of the place, in order."""
    repository = _repository(place, tracking_uri)
    folders = [""]
    while folders:
        for found in sorted(
            repository.list_artifacts(folders.pop() or None), key=lambda each: each.path
        ):
            if found.is_dir:
                folders.append(found.path)
            else:
                yield found.path, int(found.file_size or 0)


def opened(place: str, path: str, tracking_uri: str) -> IO[bytes]:
    """Returns: the file, fetched into a temporary one that has no name any more: gone when it is closed."""
    with tempfile.TemporaryDirectory(prefix="onerun-artifact-") as folder:
        local = Path(folder, "file")
        _repository(place, tracking_uri)._download_file(path, str(local))
        return local.open("rb")


def _repository(place: str, tracking_uri: str) -> Any:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(place, tracking_uri=tracking_uri)
