"""Where the files of registered versions lie: in this store, wherever it was moved to, or where they say."""

from collections.abc import Iterator
from pathlib import Path

from domain.maintenance.inventory import LoggedModel, Version
from tasks.tracking.folders import layout, reading


def version_places(root: Path) -> Iterator[tuple[str, str | None]]:
    """Yields: every registered version, and where its files lie; None: what it was made of is gone; "": not known."""
    folders = layout.experiment_folders(root)
    models = {model.id: model for folder in folders for model in reading.models(folder)}
    runs = {path.name: path for folder in folders for path in layout.run_folders(folder)}
    for version in reading.versions(root):
        yield version.words, _place(version, models, runs)


def _place(version: Version, models: dict[str, LoggedModel], runs: dict[str, Path]) -> str | None:
    kind, _, named = version.source.partition(":/")
    if kind == "models" and named.startswith("m-"):
        return models[named].location if named in models else None
    if kind == "models":
        return version.location  # a copy of another version says itself where it lies
    if kind == "runs":
        run, _, path = named.strip("/").partition("/")
        return _of_run(runs[run], path, models) if run in runs else None
    return version.address


def _of_run(run: Path, path: str, models: dict[str, LoggedModel]) -> str:
    """MLflow 3 keeps a run's model beside the run; older ones among its artifacts."""
    below = run / "artifacts" / path
    logged = [model.location for model in models.values() if (model.run_id, model.name) == (run.name, path)]
    return logged[0] if logged and not below.exists() else str(below)
