"""Looking again at runs right before they are changed: what is not as it was planned is left, with all its family."""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from onerun.config.policy import Policy
from onerun.domain.cleanup.plan import Item
from onerun.domain.cleanup.protection import (
    GONE,
    Guards,
    left_with_family,
    of_experiment,
    protecting_tag,
    references,
)
from onerun.domain.cleanup.retention import of_logged_model
from onerun.store.files import entities as reading
from onerun.store.files import layout
from onerun.store.files.entities import readable_run
from onerun.store.files.reader import Unreadable

Places = Mapping[str, Sequence[Path]]  # run id -> its folders


class Look(NamedTuple):
    """What was found."""

    folders: dict[str, Path]  # of the runs that are as planned
    left: dict[str, str]  # run id -> what changed since the plan


def look_again(
    root: Path,
    items: Sequence[Item],
    policy: Policy,
    going: Collection[str],
    last: Callable[[Path], str | None],
) -> Look:
    """Args: going: ids of everything in the plan; last: says of a run's folder why it is left all the same."""
    places: dict[str, list[Path]] = defaultdict(list)
    for folder in layout.experiment_folders(root):
        for path in layout.run_folders(folder):
            places[path.name].append(path)
    parents = _parents(places)
    words = _needed(root, policy) | _kept_in_family(parents, places, going)
    homes = _protected_experiments(root, policy)
    left = {}
    for item in items:
        found = places.get(item.id) or []
        word = _changed(found, item, policy) or words.get(item.id) or homes.get(item.experiment_id)
        if word := word or last(found[0]):
            left[item.id] = word
    left = left_with_family(left, [item.id for item in items], parents)
    return Look({item.id: places[item.id][0] for item in items if item.id not in left}, left)


def _changed(found: Sequence[Path], item: Item, policy: Policy) -> str | None:
    """Returns: why the run is left after all; None: it is as it was planned."""
    if len(found) != 1 or found[0].parent.name != item.experiment_id:
        return (
            f"lies in {len(found)} experiments"
            if len(found) > 1
            else "in another experiment"
            if found
            else GONE
        )
    run = readable_run(found[0])
    if run is None or run.lifecycle != item.lifecycle:
        return "cannot be read any more" if run is None else f"{run.lifecycle} meanwhile"
    if run.status in ("RUNNING", "SCHEDULED"):
        return f"reads {run.status} meanwhile"
    if run.ended != item.ended:
        return "was resumed meanwhile"
    return protecting_tag(reading.texts(found[0] / "tags"), policy.protect.tags)


def _parents(places: Places) -> dict[str, str]:
    """Returns: run id -> its parent's."""
    files = (
        (run, path / "tags" / reading.PARENT) for run, folders in places.items() for path in folders
    )
    return {run: file.read_text(errors="replace").strip() for run, file in files if file.is_file()}


def _kept_in_family(
    parents: Mapping[str, str], places: Places, going: Collection[str]
) -> dict[str, str]:
    """Returns: run id -> which parent or child it has that is not in the plan."""
    found = {}
    for child, parent in parents.items():
        if child not in going:
            found[parent] = f"has child {child}"
        if parent not in going and parent in places:
            found[child] = f"has parent {parent}"
    return found


def _needed(root: Path, policy: Policy) -> dict[str, str]:
    """Returns: run id -> the registered version that needs it or a logged model of it, or a tag of such a model."""
    needed = {
        each: version.words for version in reading.versions(root) for each in references(version)
    }
    guard = Guards(models=needed, tags=policy.protect.tags)
    models = (
        model for folder in layout.experiment_folders(root) for model in reading.models(folder)
    )
    words = {
        model.run_id: of_logged_model(model, policy.select, guard)
        for model in models
        if model.run_id
    }
    return {run: word for run, word in words.items() if word} | needed


def _protected_experiments(root: Path, policy: Policy) -> dict[str, str]:
    """Returns: experiment id -> what protects all of it now."""
    return {
        folder.name: word
        for folder in layout.experiment_folders(root)
        if (word := protected(folder, policy))
    }


def protected(folder: Path, policy: Policy) -> str | None:
    """Returns: what protects all of an experiment now; None: nothing does, or it cannot be read."""
    guard = Guards(tags=policy.protect.tags, experiments=policy.protect.experiments)
    try:
        return of_experiment(reading.experiment(folder), guard)
    except Unreadable:
        return None
