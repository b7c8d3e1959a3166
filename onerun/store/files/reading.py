"""Reading a store of files. A folder that MLflow could not read is told apart, never guessed at."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from onerun.domain.cleanup.inventory import ACTIVE, DELETED, Experiment, LoggedModel, Run, Version
from onerun.store.files.layout import (
    LARGEST_META,
    META,
    MODELS,
    TRASH,
    Broken,
    folders,
    meta_of,
    model_folders,
)

STATES = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
PARENT = "mlflow.parentRunId"
_NAME = re.compile(r"^name:[ \t]*(\S.*?)[ \t]*$", re.MULTILINE)


def experiment(folder: Path) -> Experiment:
    """Returns: the experiment. Raises: FileNotFoundError, Broken."""
    meta = meta_of(folder)
    if "experiment_id" not in meta or "name" not in meta:
        raise Broken("names no experiment")
    lifecycle = DELETED if folder.parent.name == TRASH else str(meta.get("lifecycle_stage", ACTIVE))
    times = [
        value if isinstance(value := meta.get(key), int) else None
        for key in ("creation_time", "last_update_time")
    ]
    return Experiment(
        folder.name,
        str(meta["name"]),
        lifecycle,
        str(folder),
        times[0],
        times[1],
        texts(folder / "tags"),
    )


def name_of(folder: Path) -> str | None:
    """Returns: the experiment's name, as far as a damaged meta.yaml still says it."""
    try:
        if (folder / META).is_file() and (folder / META).stat().st_size <= LARGEST_META:
            found = _NAME.search((folder / META).read_text(errors="replace"))
            return found[1].strip("'\"") if found else None
    except OSError:
        return None
    return None


def run(folder: Path, metrics: Iterable[str]) -> Run:
    """Returns: the run, with the newest values of `metrics`. Raises: FileNotFoundError, Broken."""
    meta = meta_of(folder)
    if "start_time" not in meta or "status" not in meta:
        raise Broken("names no run")
    own = (
        meta.get("run_id", meta.get("run_uuid", folder.name)),
        meta.get("experiment_id", folder.parent.name),
    )
    if own[0] != folder.name:
        raise Broken(f"says it is run {own[0]}")
    if str(own[1]) != folder.parent.name:
        raise Broken(f"says it is of experiment {own[1]}")
    status, lifecycle = meta["status"], meta.get("lifecycle_stage", ACTIVE)
    if not isinstance(status, int) or status not in STATES:
        raise Broken(f"has status {status!r}")
    if lifecycle not in (ACTIVE, DELETED):
        raise Broken(f"has lifecycle_stage {lifecycle!r}")
    return Run(
        folder.name, _text(meta, "run_name"), folder.parent.name, STATES[status], lifecycle, _time(meta, "start_time"),
        _time(meta, "end_time"), _time(meta, "deleted_time"), f"{folder}/artifacts",
        tuple(_last(folder / "metrics" / name) for name in metrics),
    )  # fmt: skip


def _time(meta: Mapping[str, Any], key: str) -> int | None:
    value = meta.get(key)
    if isinstance(value, float) and math.isfinite(value):
        return int(value)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise Broken(f"has {key} {value!r}")
    return value


def _text(meta: Mapping[str, Any], key: str) -> str | None:
    value = meta.get(key)
    return None if value is None else str(value)


def _last(file: Path) -> float | None:
    try:
        return float(file.read_text(errors="replace").splitlines()[-1].split()[1])
    except (OSError, IndexError, ValueError):
        return None


def texts(folder: Path) -> dict[str, str]:
    """Returns: name -> content of the files below a folder: tags, as MLflow keeps them."""
    if not folder.is_dir():
        return {}
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_text(errors="replace") for path in files}


def models(folder: Path) -> Iterator[LoggedModel]:
    """Yields: the logged models of an experiment that can be read."""
    for path in model_folders(folder):
        try:
            yield model(path)
        except (FileNotFoundError, Broken):
            continue


def model(path: Path) -> LoggedModel:
    """Returns: the logged model in a folder. Raises: FileNotFoundError, Broken."""
    meta = meta_of(path)
    created = _time(meta, "creation_timestamp") or 0
    name, source, stage = (_text(meta, key) for key in ("name", "source_run_id", "lifecycle_stage"))
    return LoggedModel(
        path.name, name or "", path.parent.parent.name, source, f"{path}/artifacts", created, stage or ACTIVE,
        texts(path / "tags"),
    )  # fmt: skip


def versions(root: Path) -> Iterator[Version]:
    """Yields: the registered versions; one that cannot be read protects whatever its text names."""
    for model in folders(root / MODELS):
        aliases: dict[str, list[str]] = {}
        for alias, version in texts(model / "aliases").items():
            aliases.setdefault(version.strip(), []).append(alias)
        for path in folders(model):
            if path.name.startswith("version-"):
                number = path.name.removeprefix("version-")
                yield _version(model.name, number, path, tuple(sorted(aliases.get(number, ()))))


def _version(model: str, number: str, path: Path, aliases: tuple[str, ...]) -> Version:
    try:
        meta: Mapping[str, Any] = meta_of(path)
        source, location = str(meta.get("source") or ""), str(meta.get("storage_location") or "")
        return Version(model, number, _text(meta, "run_id") or None, source, aliases, location)
    except FileNotFoundError:
        return Version(model, number, None, "", aliases)
    except Broken:
        text = (path / META).read_text(errors="replace") if (path / META).is_file() else ""
        return Version(model, number, None, "", aliases, text)
