"""Folders on their way out of a store: fingerprinted, moved aside in one step, then removed."""

import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from onerun.domain.cleanup.protection import references
from onerun.domain.cleanup.reason import Reason, ReasonKind
from onerun.store.files import entities, layout
from onerun.store.files.layout import MODELS, is_run_id

GOING = ".onerun-going"  # folders on their way out: archived already


class NotMoved(Exception):
    """A folder was left where it is; why, the reason says."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(str(reason))
        self.reason = reason


# Sizes, ages and fingerprints. Links are never followed.


def size_of(folder: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    if folder.is_symlink() or not folder.is_dir():
        return folder.lstat().st_size
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def newest_change(folder: Path) -> int:
    """Return when anything in the folder changed last, in milliseconds since 1970."""
    return int(1000 * max(path.lstat().st_mtime for path in (folder, *folder.rglob("*"))))


def fingerprint(folder: Path, own_alone: bool = False) -> int:
    """Return a number that changes once any file in the folder changes, is new or is missing.

    Args:
        folder: of an experiment, a run or a logged model.
        own_alone: leave out an experiment's runs and logged models.
    """
    parts = list(folder.iterdir())
    if own_alone:
        parts = [path for path in parts if path.name != MODELS and not is_run_id(path.name)]
    found = set()
    for part in parts:
        for file in (part, *(part.rglob("*") if not part.is_symlink() else ())):
            if file.is_symlink() or not file.is_dir():
                about = file.lstat()
                found.add((str(file), about.st_size, about.st_mtime_ns, about.st_ino))
    return hash(frozenset(found))


# Moving out


def require_no_link(root: Path, folder: Path) -> None:
    """Check that no part of a folder's path below the store is a link. Raises: NotMoved."""
    if folder.resolve() != root.resolve() / folder.relative_to(root):
        raise NotMoved(Reason(ReasonKind.LINK))


def move_out(root: Path, folder: Path) -> None:
    """Move a folder out of the store. Raises: NotMoved: it was left where it is."""
    require_no_link(root, folder)
    place = root / GOING / f"{uuid4().hex}-{folder.parent.name}"
    try:
        place.mkdir(parents=True)
        folder.rename(place / folder.name)
    except OSError as error:
        raise NotMoved(Reason(ReasonKind.REFUSED, str(error.strerror))) from None


def models_by_run(experiment: Path) -> Mapping[str, Sequence[Path]]:
    """Return run id -> folders of the models that it logged."""
    found: dict[str, list[Path]] = defaultdict(list)
    for model in entities.models(experiment):
        if model.run_id:
            found[model.run_id].append(Path(model.location).parent)
    return found


def move_run_out(root: Path, run: Path, models: Sequence[Path]) -> None:
    """Move a run and its models out of the store. Raises: NotMoved: the run was left.

    The run goes before its models: after a kill in between, `finish` knows by the run which models
    were to follow.
    """
    move_out(root, run)
    for model in models:
        with suppress(NotMoved):
            move_out(root, model)


# Removing


def finish(root: Path) -> None:
    """Remove what a killed clean-up moved aside, and the models of its runs; it was archived."""
    going = root / GOING
    if going.is_symlink() or not going.is_dir():
        return
    moved = [(path.parent.name.partition("-")[2], path.name) for path in going.glob("*/*")]
    if runs := {(home, run) for home, run in moved if is_run_id(run)}:
        _move_models_out(root, runs)
    empty(root)


def _move_models_out(root: Path, runs: set[tuple[str, str]]) -> None:
    """Move out the models of runs (experiment, run) that are out already, unless needed."""
    needed = {each for version in entities.versions(root) for each in references(version)}
    for folder in layout.experiment_folders(root):
        there = {path.name for path in layout.run_folders(folder)}
        for owner, models in models_by_run(folder).items():
            if (folder.name, owner) not in runs or owner in there or owner in needed:
                continue
            for model in models:
                if model.name not in needed:
                    with suppress(NotMoved):
                        move_out(root, model)


def empty(root: Path) -> tuple[str, ...]:
    """Remove what was moved aside.

    Returns: notes on what cannot be removed now; the next clean-up tries again.
    """
    going, notes = root / GOING, list[str]()
    if going.is_dir() and not going.is_symlink():
        for path in sorted(going.iterdir()):
            try:
                shutil.rmtree(path)
            except OSError as error:
                notes.append(
                    f"{path} is out of the store and archived, but cannot be removed: "
                    f"{error.strerror}"
                )
        with suppress(OSError):  # something is left in it
            going.rmdir()
    return tuple(notes)
