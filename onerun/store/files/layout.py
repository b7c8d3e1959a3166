"""How a store of files is laid out: which folders are experiments, runs and logged models, and which are none."""

import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

META, TRASH, MODELS = "meta.yaml", ".trash", "models"
RESERVED = ("tags", "datasets", "traces", MODELS)  # folders of an experiment that are no runs
LARGEST_META = 2**20  # bytes
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
    return not any(folder.iterdir()) or any(
        True for pattern in _INSIDE for _ in folder.glob(pattern)
    )


def experiment_folders(root: Path) -> list[Path]:
    """Returns: the folders of experiments, deleted and damaged ones included; no copies and nothing else."""
    return [path for path, kind in classified(root) if kind in (Kind.EXPERIMENT, Kind.DAMAGED)]


def folders(place: Path) -> list[Path]:
    """Returns: the folders in it, links to folders included."""
    return sorted(path for path in place.iterdir() if path.is_dir()) if place.is_dir() else []


def is_run_id(name: str) -> bool:
    """Whether MLflow could have called a run so."""
    return re.fullmatch(r"[0-9a-f]{32}", name) is not None


def run_folders(folder: Path) -> list[Path]:
    """Returns: the folders of an experiment that look like runs; a link is none."""
    return [path for path in folders(folder) if is_run_id(path.name) and not path.is_symlink()]


def model_folders(folder: Path) -> list[Path]:
    """Returns: the folders of an experiment's logged models; a link is none."""
    return [path for path in folders(folder / MODELS) if not path.is_symlink()]
