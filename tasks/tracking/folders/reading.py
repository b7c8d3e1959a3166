"""Reading a store of files. A folder that MLflow could not read is told apart, never guessed at."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from domain.maintenance.inventory import ACTIVE, DELETED, Experiment, LoggedModel, Run, Version

META, TRASH, MODELS = "meta.yaml", ".trash", "models"
RESERVED = ("tags", "datasets", "traces", MODELS)  # folders of an experiment that are no runs
STATES = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
PARENT = "mlflow.parentRunId"
LARGEST_META = 2**20  # bytes
_NAME = re.compile(r"^name:[ \t]*(\S.*?)[ \t]*$", re.MULTILINE)
_INSIDE = ("[0-9a-f]" * 32, "models/m-*", "traces/tr-*", "datasets/*/meta.yaml", "tags", META)
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast where it is there


class Broken(ValueError):
    """A meta.yaml that says nothing, or what cannot be."""


class Kind(StrEnum):
    """What a folder is that lies where experiments lie."""

    EXPERIMENT = "experiment"
    DAMAGED = "damaged"  # an experiment that cannot be read
    COPY = "copy"  # its meta.yaml names another experiment
    STRANGER = "stranger"  # nothing of MLflow's


def meta_of(folder: Path) -> dict[str, Any]:
    """Returns: what meta.yaml says. Raises: FileNotFoundError, Broken."""
    file = folder / META
    if file.exists() and not file.is_file():
        raise Broken("is no file")
    if file.stat().st_size > LARGEST_META:
        raise Broken(f"has {file.stat().st_size:,} bytes, where at most {LARGEST_META:,} are read")
    text = file.read_bytes()
    try:
        values = yaml.load(text, Loader=_Loader)  # noqa: S506 -- a safe loader
    except (yaml.YAMLError, ValueError) as error:
        raise Broken(str(error).partition("\n")[0]) from None
    if not isinstance(values, dict):
        raise Broken("is empty" if not text.strip() else "is no mapping")
    return values


def classified(root: Path) -> Iterator[tuple[Path, Kind]]:
    """Yields: every folder where MLflow looks for experiments, deleted ones included, and what it is."""
    for place in (root, root / TRASH):
        for path in folders(place):
            if path.name not in (MODELS, TRASH) and not path.name.startswith(".onerun"):
                yield path, kind_of(path)


def kind_of(folder: Path) -> Kind:
    """Returns: what the folder is. Only a number can be a damaged experiment, and only with something of one in it."""
    try:
        meta = meta_of(folder)
    except (FileNotFoundError, Broken):
        meta = {}
    if "experiment_id" in meta and "name" in meta:
        return Kind.EXPERIMENT if str(meta["experiment_id"]) == folder.name else Kind.COPY
    numbered = folder.name.isdecimal() and folder.name.isascii() and not folder.is_symlink()
    return Kind.DAMAGED if numbered and _holds_an_experiment(folder) else Kind.STRANGER


def _holds_an_experiment(folder: Path) -> bool:
    """Or nothing at all: an experiment of which only the folder is left."""
    return not any(folder.iterdir()) or any(True for pattern in _INSIDE for _ in folder.glob(pattern))


def experiment_folders(root: Path) -> list[Path]:
    """Returns: the folders of experiments, deleted and damaged ones included; no copies and nothing else."""
    return [path for path, kind in classified(root) if kind in (Kind.EXPERIMENT, Kind.DAMAGED)]


def folders(place: Path) -> list[Path]:
    """Returns: the folders in it, links to folders included."""
    return sorted(path for path in place.iterdir() if path.is_dir()) if place.is_dir() else []


def experiment(folder: Path) -> Experiment:
    """Returns: the experiment. Raises: FileNotFoundError, Broken."""
    meta = meta_of(folder)
    if "experiment_id" not in meta or "name" not in meta:
        raise Broken("names no experiment")
    lifecycle = DELETED if folder.parent.name == TRASH else str(meta.get("lifecycle_stage", ACTIVE))
    times = [
        value if isinstance(value := meta.get(key), int) else None for key in ("creation_time", "last_update_time")
    ]
    return Experiment(
        folder.name, str(meta["name"]), lifecycle, str(folder), times[0], times[1], texts(folder / "tags")
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


def is_run_id(name: str) -> bool:
    """Whether MLflow could have called a run so."""
    return re.fullmatch(r"[0-9a-f]{32}", name) is not None


def run_folders(folder: Path) -> list[Path]:
    """Returns: the folders of an experiment that look like runs; a link is none."""
    return [path for path in folders(folder) if is_run_id(path.name) and not path.is_symlink()]


def run(folder: Path, metrics: Iterable[str]) -> Run:
    """Returns: the run, with the newest values of `metrics`. Raises: FileNotFoundError, Broken."""
    meta = meta_of(folder)
    if "start_time" not in meta or "status" not in meta:
        raise Broken("names no run")
    own = meta.get("run_id", meta.get("run_uuid", folder.name)), meta.get("experiment_id", folder.parent.name)
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


def model_folders(folder: Path) -> list[Path]:
    """Returns: the folders of an experiment's logged models; a link is none."""
    return [path for path in folders(folder / MODELS) if not path.is_symlink()]


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
        path.name, name or "", path.parent.parent.name, source, f"{path}/artifacts", created, stage or ACTIVE
    )


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


def size_of(folder: Path) -> int:
    """Returns: bytes of a file, or in a folder."""
    if folder.is_symlink() or not folder.is_dir():
        return folder.lstat().st_size
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def print_of(folder: Path, own_alone: bool = False) -> int:
    """Returns: a number that is another one once any file in the folder is another one, is new or is gone.

    Args: own_alone: without its runs and logged models.
    """
    parts = folder.iterdir()
    if own_alone:
        parts = (path for path in parts if path.name != MODELS and not is_run_id(path.name))
    files = (file for part in parts for file in (part, *(part.rglob("*") if not part.is_symlink() else ())))
    looked = ((str(file), file.lstat()) for file in files if file.is_symlink() or not file.is_dir())
    return hash(frozenset((path, about.st_size, about.st_mtime_ns, about.st_ino) for path, about in looked))


def newest_change(folder: Path) -> int:
    """Returns: when anything in the folder changed last, in milliseconds since 1970."""
    return int(1000 * max(path.lstat().st_mtime for path in (folder, *folder.rglob("*"))))
