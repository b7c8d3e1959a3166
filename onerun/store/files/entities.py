"""Experiments, runs, logged models and registered versions, read from a store of files."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from onerun.domain.cleanup.artifact_paths import version_address
from onerun.domain.cleanup.inventory import (
    ACTIVE,
    DELETED,
    Experiment,
    LoggedModel,
    RegisteredVersion,
    Run,
)
from onerun.domain.file_store import (
    RUN_STATUSES,
    Fault,
    Harm,
    experiment_faults,
    is_number,
    model_faults,
    run_faults,
)
from onerun.store.files import layout
from onerun.store.files.layout import META, MODELS, TRASH, folders, meta_of, model_folders
from onerun.store.files.reader import Unreadable, last_value, lenient_text

PARENT = "mlflow.parentRunId"
_NAME = re.compile(r"^name:[ \t]*(\S.*?)[ \t]*$", re.MULTILINE)


def experiment(folder: Path) -> Experiment:
    """Return the experiment. Raises: Unreadable."""
    meta = meta_of(folder)
    _require_readable(experiment_faults(meta, folder.name))
    lifecycle = DELETED if folder.parent.name == TRASH else str(meta.get("lifecycle_stage", ACTIVE))
    return Experiment(
        id=folder.name,
        name=str(meta["name"]),
        lifecycle=lifecycle,
        location=str(folder),
        created=_time(meta, "creation_time"),
        updated=_time(meta, "last_update_time"),
        tags=texts(folder / "tags"),
    )


def name_of(folder: Path) -> str | None:
    """Return the experiment's name, as far as a damaged meta.yaml still says it."""
    with suppress(OSError):
        found = _NAME.search(lenient_text(folder / META)) if (folder / META).is_file() else None
        return found[1].strip("'\"") if found else None
    return None


def run(folder: Path, metrics: Iterable[str] = ()) -> Run:
    """Return the run, with the newest values of `metrics`. Raises: Unreadable."""
    meta = meta_of(folder)
    _require_readable(run_faults(meta, folder.name, folder.parent.name))
    return Run(
        id=folder.name,
        name=_text(meta, "run_name"),
        experiment_id=folder.parent.name,
        status=RUN_STATUSES[meta["status"]],
        lifecycle=meta.get("lifecycle_stage") or ACTIVE,
        started=_time(meta, "start_time"),
        ended=_time(meta, "end_time"),
        deleted=_time(meta, "deleted_time"),
        artifact_uri=f"{folder}/artifacts",
        metrics=tuple(last_value(folder / "metrics" / name) for name in metrics),
    )


def readable_run(folder: Path, metrics: Iterable[str] = ()) -> Run | None:
    """Return the run; None when it cannot be read."""
    try:
        return run(folder, metrics)
    except Unreadable:
        return None


def _require_readable(faults: Iterable[Fault]) -> None:
    if wrong := [fault.text for fault in faults if fault.harm == Harm.UNREADABLE]:
        raise Unreadable(", ".join(wrong))


def _time(meta: Mapping[str, Any], key: str) -> int | None:
    value = meta.get(key)
    return int(value) if is_number(value) else None


def _text(meta: Mapping[str, Any], key: str) -> str | None:
    value = meta.get(key)
    return None if value is None else str(value)


def texts(folder: Path) -> dict[str, str]:
    """Return name and content of the files below a folder: tags and aliases, as MLflow reads them.

    They may protect, so that links are followed and what is no UTF-8 is read as far as it goes.
    """
    if not folder.is_dir():
        return {}
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): lenient_text(path) for path in files}


def models(folder: Path) -> Iterator[LoggedModel]:
    """Yield the logged models of an experiment that can be read."""
    for path in model_folders(folder):
        with suppress(Unreadable):
            yield model(path)


def model(path: Path) -> LoggedModel:
    """Return the logged model in a folder. Raises: Unreadable."""
    meta = meta_of(path)
    _require_readable(model_faults(meta, path.name))
    return LoggedModel(
        id=path.name,
        name=_text(meta, "name") or "",
        experiment_id=path.parent.parent.name,
        run_id=_text(meta, "source_run_id"),
        location=f"{path}/artifacts",
        created=_time(meta, "creation_timestamp") or 0,
        lifecycle=_text(meta, "lifecycle_stage") or ACTIVE,
        tags=texts(path / "tags"),
    )


def versions(root: Path) -> Iterator[RegisteredVersion]:
    """Yield the registered versions; one that cannot be read protects whatever its text names."""
    for model in folders(root / MODELS):
        aliases: dict[str, list[str]] = {}
        for alias, version in texts(model / "aliases").items():
            aliases.setdefault(version.strip(), []).append(alias)
        for path in folders(model):
            if path.name.startswith("version-"):
                number = path.name.removeprefix("version-")
                yield _version(model.name, number, path, tuple(sorted(aliases.get(number, ()))))


def _version(model: str, number: str, path: Path, aliases: tuple[str, ...]) -> RegisteredVersion:
    try:
        meta = meta_of(path)
    except Unreadable:
        text = lenient_text(path / META) if (path / META).is_file() else ""
        return RegisteredVersion(model, number, None, "", aliases, text)
    return RegisteredVersion(
        model=model,
        version=number,
        run_id=_text(meta, "run_id") or None,
        source=str(meta.get("source") or ""),
        aliases=aliases,
        location=str(meta.get("storage_location") or ""),
    )


def version_places(root: Path) -> Iterator[tuple[RegisteredVersion, str | None]]:
    """Yield every registered version and where its files lie, wherever the store was moved to."""
    homes = layout.experiment_folders(root)
    logged = {model.id: model for folder in homes for model in models(folder)}
    by_name = {(model.run_id, model.name): model.location for model in logged.values()}
    runs = {path.name: path for folder in homes for path in layout.run_folders(folder)}

    def of_model(identity: str) -> str | None:
        return logged[identity].location if identity in logged else None

    def of_run(identity: str, path: str) -> str | None:
        """Look beside the run, where MLflow 3 keeps a model, and among its artifacts, as before."""
        if identity not in runs:
            return None
        inside = runs[identity] / "artifacts" / path
        beside = by_name.get((identity, path))
        return beside if beside and not inside.exists() else str(inside)

    for version in versions(root):
        yield version, version_address(version, of_model, of_run)
