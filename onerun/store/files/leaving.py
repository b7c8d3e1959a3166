"""Taking folders out of a store: moved aside in one step, then removed. What a killed clean-up began is finished."""

import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from onerun.domain.cleanup.protection import references
from onerun.store.files import layout, reading

GOING = ".onerun-going"  # folders on their way out: archived already


def behind_a_link(root: Path, folder: Path) -> str | None:
    """Returns: why the folder is not touched; None: no part of its path below the store is a link."""
    straight = folder.resolve() == root.resolve() / folder.relative_to(root)
    return None if straight else "lies behind a link, which is never followed to delete"


def move_out(root: Path, folder: Path) -> str | None:
    """Returns: why the folder was left; None: it is out of the store."""
    if word := behind_a_link(root, folder):
        return word
    place = root / GOING / f"{uuid4().hex}-{folder.parent.name}"
    try:
        place.mkdir(parents=True)
        folder.rename(place / folder.name)
    except OSError as error:
        return f"could not be moved: {error.strerror}"
    return None


def models_by_run(experiment: Path) -> Mapping[str, Sequence[Path]]:
    """Returns: run id -> folders of the models that it logged."""
    found: dict[str, list[Path]] = defaultdict(list)
    for model in reading.models(experiment):
        if model.run_id:
            found[model.run_id].append(Path(model.location).parent)
    return found


def move_run_out(root: Path, run: Path, models: Sequence[Path]) -> str | None:
    """The run goes before its models: killed in between, `finish` knows by the run which models were to follow.

    Returns: why the run was left; None: it is out of the store, and so are its models.
    """
    if word := move_out(root, run):
        return word
    for model in models:
        move_out(root, model)
    return None


def finish(root: Path) -> None:
    """Removes what a killed clean-up moved aside, and the models of its runs; it was archived."""
    going = root / GOING
    if going.is_symlink() or not going.is_dir():
        return
    gone = [(path.parent.name.partition("-")[2], path.name) for path in going.glob("*/*")]
    if runs := {(home, run) for home, run in gone if layout.is_run_id(run)}:
        needed = {each for version in reading.versions(root) for each in references(version)}
        for folder in layout.experiment_folders(root):
            there = {path.name for path in layout.run_folders(folder)}
            for owner, models in models_by_run(folder).items():
                for model in models:
                    if (
                        (folder.name, owner) in runs
                        and owner not in there
                        and not {owner, model.name} & needed
                    ):
                        move_out(root, model)
    empty(root)


def empty(root: Path) -> tuple[str, ...]:
    """Removes what was moved aside. Returns: notes on what cannot be removed now; the next clean-up tries again."""
    going, notes = root / GOING, list[str]()
    if going.is_dir() and not going.is_symlink():
        for path in sorted(going.iterdir()):
            try:
                shutil.rmtree(path)
            except OSError as error:
                notes.append(
                    f"{path} is out of the store and archived, but cannot be removed: {error.strerror}"
                )
        with suppress(OSError):  # something is left in it
            going.rmdir()
    return tuple(notes)
