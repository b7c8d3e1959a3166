"""Reading a store of files. A folder that MLflow could not read is told apart, never guessed at."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from domain.maintenance.findings import Finding
from domain.maintenance.inventory import Experiment, LoggedModel, Run, Version

META, TRASH, MODELS = "meta.yaml", ".trash", "models"
STATES = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
PARENT = "mlflow.parentRunId"
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast where it is there


class Broken(ValueError):
    """A meta.yaml that says nothing."""


def meta_of(folder: Path) -> dict[str, Any]:
    """Returns: what meta.yaml says. Raises: FileNotFoundError, Broken."""
    text = (folder / META).read_bytes()
    try:
        values = yaml.load(text, Loader=_Loader)  # noqa: S506 -- a safe loader
    except (yaml.YAMLError, ValueError) as error:
        raise Broken(str(error).partition("\n")[0]) from None
    if not isinstance(values, dict):
        raise Broken("is empty" if not text.strip() else "is no mapping")
    return values


def experiment_folders(root: Path) -> list[Path]:
    """Returns: the folders that MLflow takes for experiments, deleted ones included; not the registry's."""
    found = [path for place in (root, root / TRASH) for path in _folders(place)]
    return [path for path in found if path.name not in (MODELS, TRASH) and not path.name.startswith(".onerun")]


def _folders(place: Path) -> list[Path]:
    return sorted(path for path in place.iterdir() if path.is_dir()) if place.is_dir() else []


def experiment(folder: Path) -> Experiment:
    """Returns: the experiment. Raises: FileNotFoundError, Broken."""
    meta = meta_of(folder)
    if "experiment_id" not in meta or "name" not in meta:
        raise Broken("names no experiment")
    lifecycle = "deleted" if folder.parent.name == TRASH else str(meta.get("lifecycle_stage", "active"))
    times = meta.get("creation_time"), meta.get("last_update_time")
    return Experiment(folder.name, str(meta["name"]), lifecycle, str(folder), *times, texts(folder / "tags"))


def run_folders(folder: Path) -> list[Path]:
    """Returns: the folders of an experiment that look like runs."""
    return [path for path in _folders(folder) if len(path.name) == 32 and not path.is_symlink()]


def run(folder: Path, metrics: Iterable[str]) -> Run:
    """Returns: the run, with the newest values of `metrics`. Raises: FileNotFoundError, Broken."""
    meta = meta_of(folder)
    if "start_time" not in meta or "status" not in meta:
        raise Broken("names no run")
    status = STATES.get(meta["status"], str(meta["status"]))
    return Run(
        folder.name, meta.get("run_name"), folder.parent.name, status, str(meta.get("lifecycle_stage", "active")),
        meta["start_time"], meta.get("end_time"), meta.get("deleted_time"), f"{folder}/artifacts",
        tuple(_last(folder / "metrics" / name) for name in metrics),
    )  # fmt: skip


def _last(file: Path) -> float | None:
    try:
        return float(file.read_text().splitlines()[-1].split()[1])
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
    for path in _folders(folder / MODELS):
        try:
            meta = meta_of(path)
        except (FileNotFoundError, Broken):
            continue
        created = int(meta.get("creation_timestamp") or 0)
        stage = str(meta.get("lifecycle_stage", "active"))
        name, source = str(meta.get("name", "")), meta.get("source_run_id")
        yield LoggedModel(path.name, name, folder.name, source, f"{path}/artifacts", created, stage)


def versions(root: Path) -> Iterator[Version]:
    """Yields: the registered versions; one that cannot be read protects whatever its text names."""
    for model in _folders(root / MODELS):
        aliases: dict[str, list[str]] = {}
        for alias, version in texts(model / "aliases").items():
            aliases.setdefault(version.strip(), []).append(alias)
        for path in _folders(model):
            if path.name.startswith("version-"):
                number = path.name.removeprefix("version-")
                yield _version(model.name, number, path, tuple(sorted(aliases.get(number, ()))))


def _version(model: str, number: str, path: Path, aliases: tuple[str, ...]) -> Version:
    try:
        meta: Mapping[str, Any] = meta_of(path)
        source, location = (str(meta.get(key) or "") for key in ("source", "storage_location"))
        return Version(model, number, meta.get("run_id") or None, source, aliases, location)
    except FileNotFoundError:
        return Version(model, number, None, "", aliases)
    except Broken:
        return Version(model, number, None, "", aliases, (path / META).read_text(errors="replace"))


def troubles(root: Path) -> Iterator[Finding]:
    """Yields: everything that MLflow stumbles over, or loses in silence."""
    for folder in experiment_folders(root):
        if folder.parent == root and _is_backup(folder):
            yield _finding("backup-folder", folder, "its meta.yaml names another experiment than its folder")
            continue
        yield from _of_experiment(folder)
        for path in run_folders(folder):
            yield from _of_run(path)
    yield from _aliases(root)


def _of_experiment(folder: Path) -> Iterator[Finding]:
    try:
        experiment(folder)
    except FileNotFoundError:
        yield _finding("experiment-without-meta", folder, "there is no meta.yaml")
    except Broken as error:
        yield _finding("experiment-with-broken-meta", folder, f"meta.yaml {error}")


def _aliases(root: Path) -> Iterator[Finding]:
    for model in _folders(root / MODELS):
        there = {path.name.removeprefix("version-") for path in _folders(model)}
        for alias, version in texts(model / "aliases").items():
            if version.strip() not in there:
                cause = f"there is no version {version.strip()}"
                yield Finding("alias-to-nothing", f"{model.name}@{alias}", None, None, cause)


def _is_backup(folder: Path) -> bool:
    try:
        return str(meta_of(folder).get("experiment_id", folder.name)) != folder.name
    except (FileNotFoundError, Broken):
        return False


def _of_run(path: Path) -> Iterator[Finding]:
    try:
        run(path, ())
    except FileNotFoundError:
        yield _finding("run-without-meta", path, "there is no meta.yaml")
    except Broken as error:
        yield _finding("run-with-broken-meta", path, f"meta.yaml {error}")
    names: dict[str, list[str]] = {}
    for file in (path / "params").rglob("*"):
        names.setdefault(file.name.lower(), []).append(file.name)
        if file.is_file() and len(set(file.read_text(errors="replace").splitlines())) > 1:
            yield Finding("conflicting-parameter", str(path), None, None, f"{file.name} holds several lines")
    for same in names.values():
        if len(same) > 1:
            yield Finding(
                "duplicate-parameter", str(path), None, None, f"{len(same)} of them: {', '.join(sorted(same))}"
            )


def _finding(kind: str, folder: Path, cause: str) -> Finding:
    return Finding(kind, str(folder), size_of(folder), newest_change(folder), cause)


def size_of(folder: Path) -> int:
    """Returns: bytes in the folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def newest_change(folder: Path) -> int:
    """Returns: when anything in the folder changed last, in milliseconds since 1970."""
    return int(1000 * max(path.lstat().st_mtime for path in (folder, *folder.rglob("*"))))
