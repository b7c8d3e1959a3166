"""What protects runs in a store of files: for the plan, and again right before something is
removed.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from onerun.config.policy import Policy
from onerun.domain import names
from onerun.domain.cleanup.inventory import UNFINISHED_STATES, SnapshotUse
from onerun.domain.cleanup.plan import Item
from onerun.domain.cleanup.protection import (
    Protections,
    of_experiment,
    protecting_tag,
    protections_of,
    references,
)
from onerun.domain.cleanup.reason import Reason, ReasonKind
from onerun.domain.cleanup.recheck import RunNow, recheck_all
from onerun.domain.cleanup.retention import of_logged_model
from onerun.store.files import entities, layout
from onerun.store.files.layout import FolderKind
from onerun.store.files.reader import Unreadable

Places = Mapping[str, Sequence[Path]]  # run id -> its folders


def store_protections(root: Path, policy: Policy, live: Collection[str]) -> Protections:
    """Return what protects.

    A run that lies in several experiments is kept; a pin on a copy protects the original.

    Args: live: ids of flow runs that are not over.
    """
    tags, homes, pinned = _census(root, policy)
    parents = {run: held[entities.PARENT] for run, held in tags.items() if entities.PARENT in held}
    related = [
        (child, parent) for child, parent in parents.items() if child in homes and parent in homes
    ]
    owners = {
        model.id: model.run_id
        for folder in layout.experiment_folders(root)
        for model in entities.models(folder)
        if model.run_id
    }
    registered = list(entities.versions(root))
    named = {each for version in registered for each in references(version)}
    found = protections_of(
        versions=registered,
        models_of_runs={model: run for model, run in owners.items() if model in named},
        tags=tags,
        live={run for run, held in tags.items() if held.get(names.TAG_FLOW_RUN_ID) in live},
        apart={run for pair in related if homes[pair[0]] != homes[pair[1]] for run in pair},
        parents=parents,
        protect_tags=policy.protect.tags,
        protect_experiments=policy.protect.experiments,
    )
    return replace(found, runs={**_out_of_reach(homes, policy), **pinned, **found.runs})


def _census(
    root: Path, policy: Policy
) -> tuple[dict[str, dict[str, str]], dict[str, list[Path]], dict[str, Reason]]:
    """Return of every run its tags and the experiments that hold it; and what protects a copy of
    it.
    """
    tags: dict[str, dict[str, str]] = {}
    homes: dict[str, list[Path]] = defaultdict(list)
    pinned: dict[str, Reason] = {}
    for folder, kind in layout.classified(root):
        for path in layout.run_folders(folder):
            held = entities.texts(path / "tags")
            if tag := protecting_tag(held, policy.protect.tags):
                pinned[path.name] = Reason(ReasonKind.TAG, tag)
            if kind in (FolderKind.EXPERIMENT, FolderKind.DAMAGED):
                tags.setdefault(path.name, held)
                homes[path.name].append(folder)
    return tags, homes, pinned


def _out_of_reach(homes: Mapping[str, list[Path]], policy: Policy) -> dict[str, Reason]:
    """Return the runs of which it is not clear which folder is meant, or that lie behind a link."""
    where: dict[str, set[Path]] = defaultdict(set)
    for folders in homes.values():
        for folder in folders:
            where[folder.name].add(folder)
    found = {}
    for run, folders in homes.items():
        if len(folders) > 1:
            found[run] = Reason(ReasonKind.PLACE, f"in {len(folders)} experiments")
        elif len(where[folders[0].name]) > 1:
            found[run] = Reason(ReasonKind.PLACE, "in an experiment whose id is in the trash too")
        elif policy.action == "hard_delete" and folders[0].is_symlink():
            found[run] = Reason(ReasonKind.PLACE, "behind a link")
    return found


def snapshots_in_use(root: Path) -> SnapshotUse:
    """Return the snapshots that runs name, deleted runs included."""
    digests: set[str] = set()
    unnamed = 0
    for folder in layout.experiment_folders(root):
        for path in layout.run_folders(folder):
            tags = entities.texts(path / "tags")
            if names.TAG_SNAPSHOT_DIGEST in tags:
                digests.add(tags[names.TAG_SNAPSHOT_DIGEST])
            elif names.TAG_PROCESS in tags and _is_unfinished(path):
                unnamed += 1
    return SnapshotUse(digests, unnamed)


def _is_unfinished(folder: Path) -> bool:
    run = entities.readable_run(folder)
    return run is None or run.status in UNFINISHED_STATES


class Rechecked(NamedTuple):
    """What is known of planned runs right before they are changed."""

    folders: dict[str, Path]  # of the runs that are as planned
    skipped: dict[str, Reason]  # run id -> what changed since the plan


def recheck_runs(
    root: Path,
    items: Sequence[Item],
    policy: Policy,
    planned: Collection[str],
    check: Callable[[Path], Reason | None],
) -> Rechecked:
    """Look at planned runs once more.

    Args:
        items: the runs that are about to be changed.
        planned: ids of everything in the plan.
        check: says of a run's folder why it is skipped all the same.
    """
    places: dict[str, list[Path]] = defaultdict(list)
    for folder in layout.experiment_folders(root):
        for path in layout.run_folders(folder):
            places[path.name].append(path)
    now = {item.id: _run_now(places.get(item.id, ())) for item in items}
    protections = Protections(
        runs=_tags_now(items, places, policy) | _needed_now(root, policy),
        parents=_parents(places),
        whole=_experiments_now(root, policy),
    )
    skipped = recheck_all(
        items,
        now=now,
        protections=protections,
        planned=planned,
        existing=places.keys(),
        check=lambda run: check(places[run][0]),
    )
    folders = {item.id: places[item.id][0] for item in items if item.id not in skipped}
    return Rechecked(folders, skipped)


def _run_now(folders: Sequence[Path]) -> RunNow:
    experiments = [folder.parent.name for folder in folders]
    run = entities.readable_run(folders[0]) if len(folders) == 1 else None
    if run is None:
        return RunNow(experiments, status=None)
    return RunNow(experiments, status=run.status, lifecycle=run.lifecycle, ended=run.ended)


def _tags_now(items: Sequence[Item], places: Places, policy: Policy) -> dict[str, Reason]:
    found = {}
    for item in items:
        for folder in places.get(item.id, ()):
            if tag := protecting_tag(entities.texts(folder / "tags"), policy.protect.tags):
                found[item.id] = Reason(ReasonKind.TAG, tag)
    return found


def _needed_now(root: Path, policy: Policy) -> dict[str, Reason]:
    """Return the runs that a registered version needs, or that logged a model which something
    protects.
    """
    needed = {
        each: Reason(ReasonKind.REGISTERED, version.title)
        for version in entities.versions(root)
        for each in references(version)
    }
    protections = Protections(models=needed, tags=policy.protect.tags)
    found = {}
    for folder in layout.experiment_folders(root):
        for model in entities.models(folder):
            reason = of_logged_model(model, policy.select, protections)
            if model.run_id and reason:
                found[model.run_id] = reason
    return found | needed


def _parents(places: Places) -> dict[str, str]:
    """Return run id -> its parent's."""
    files = (
        (run, path / "tags" / entities.PARENT)
        for run, folders in places.items()
        for path in folders
    )
    return {run: file.read_text(errors="replace").strip() for run, file in files if file.is_file()}


def _experiments_now(root: Path, policy: Policy) -> dict[str, Reason]:
    """Return experiment id -> what protects all of it now."""
    return {
        folder.name: reason
        for folder in layout.experiment_folders(root)
        if (reason := protected(folder, policy))
    }


def protected(folder: Path, policy: Policy) -> Reason | None:
    """Return what protects all of an experiment now; None: nothing does, or it cannot be read."""
    protections = Protections(tags=policy.protect.tags, experiments=policy.protect.experiments)
    try:
        return of_experiment(entities.experiment(folder), protections)
    except Unreadable:
        return None
