"""Where the files of registered versions lie in a store of files, wherever it was moved to."""

from collections.abc import Iterator
from pathlib import Path

from onerun.domain.cleanup.artifact_paths import version_address
from onerun.domain.cleanup.inventory import Version
from onerun.store.files import layout, reading


def version_places(root: Path) -> Iterator[tuple[Version, str | None]]:
    """Yields: every registered version, and where its files lie, as `version_address` says."""
    folders = layout.experiment_folders(root)
    models = {model.id: model for folder in folders for model in reading.models(folder)}
    by_name = {(model.run_id, model.name): model.location for model in models.values()}
    runs = {path.name: path for folder in folders for path in layout.run_folders(folder)}

    def of_model(identity: str) -> str | None:
        return models[identity].location if identity in models else None

    def of_run(identity: str, path: str) -> str | None:
        """MLflow 3 keeps a run's model beside the run; older ones among its artifacts."""
        if identity not in runs:
            return None
        below = runs[identity] / "artifacts" / path
        logged = by_name.get((identity, path))
        return logged if logged and not below.exists() else str(below)

    for version in reading.versions(root):
        yield version, version_address(version, of_model, of_run)
