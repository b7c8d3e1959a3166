"""How a store of files is laid out: which folders are experiments, runs and logged models."""

import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from onerun.store.files import reader
from onerun.store.files.reader import Unreadable

META, TRASH, MODELS = "meta.yaml", ".trash", "models"
RESERVED = ("tags", "datasets", "traces", MODELS)  # folders of an experiment that are no runs
OURS = ".onerun"  # begins the names of what a clean-up keeps in a store
_INSIDE = ("[0-9a-f]" * 32, "models/m-*", "traces/tr-*", "datasets/*/meta.yaml", "tags", META)


class FolderSelection(NamedTuple):
    """Folders of a store that an archive must hold."""

    root: Path
    folders: list[Path]


class FolderKind(StrEnum):
    """What a folder is that lies where experiments lie."""

    EXPERIMENT = "experiment"
    DAMAGED = "damaged"  # an experiment that cannot be read
    COPY = "copy"  # its meta.yaml names another experiment
    STRANGER = "stranger"  # nothing of MLflow's


def meta_of(folder: Path) -> dict[str, Any]:
    """Return what meta.yaml says. Raises: Unreadable."""
    return reader.meta(folder / META)


def classified(root: Path) -> Iterator[tuple[Path, FolderKind]]:
    """Yield every folder where MLflow looks for experiments, deleted ones too, and what it is."""
    for place in (root, root / TRASH):
        for path in folders(place):
            if path.name not in (MODELS, TRASH) and not path.name.startswith(OURS):
                yield path, kind_of(path)


def kind_of(folder: Path) -> FolderKind:
    """Return what the folder is.

    Only a number can be a damaged experiment, and only with something of one in it.
    """
    try:
        meta = meta_of(folder)
    except Unreadable:
        meta = {}
    if "experiment_id" in meta and "name" in meta:
        return (
            FolderKind.EXPERIMENT if str(meta["experiment_id"]) == folder.name else FolderKind.COPY
        )
    numbered = folder.name.isdecimal() and folder.name.isascii() and not folder.is_symlink()
    return FolderKind.DAMAGED if numbered and _holds_an_experiment(folder) else FolderKind.STRANGER


def _holds_an_experiment(folder: Path) -> bool:
    """Return true also for an empty folder: an experiment of which only that is left."""
    if not any(folder.iterdir()):
        return True
    return any(True for pattern in _INSIDE for _ in folder.glob(pattern))


def experiment_folders(root: Path) -> list[Path]:
    """Return the folders of experiments, deleted and damaged ones too; no copies."""
    return [
        path
        for path, kind in classified(root)
        if kind in (FolderKind.EXPERIMENT, FolderKind.DAMAGED)
    ]


def folders(place: Path) -> list[Path]:
    """Return the folders in it, links to folders included: MLflow follows them."""
    return sorted(path for path in place.iterdir() if path.is_dir()) if place.is_dir() else []


def is_run_id(name: str) -> bool:
    """Return whether MLflow could have called a run so."""
    return re.fullmatch(r"[0-9a-f]{32}", name) is not None


def run_folders(folder: Path) -> list[Path]:
    """Return the folders of an experiment that look like runs; a link is none."""
    return [path for path in folders(folder) if is_run_id(path.name) and not path.is_symlink()]


def model_folders(folder: Path) -> list[Path]:
    """Return the folders of an experiment's logged models; a link is none."""
    return [path for path in folders(folder / MODELS) if not path.is_symlink()]
